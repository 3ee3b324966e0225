//! squall's example programs; each is an `--example` of this package. Here is what they share.

use std::time::SystemTime;

/// Ends the program because of how it was called.
pub fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    std::process::exit(1)
}

/// A name, or a password, that nobody can guess. Without randomness of the system the program ends.
pub fn random_name() -> String {
    let mut bytes = [0; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        fail(&format!("no randomness: {error}"));
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What no other process begins its identifiers with, nor this one when it is started again.
pub fn unique() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", now.as_nanos(), std::process::id())
}
