//! A certificate for `localhost`, to try HTTPS on one's own machine: `cargo run --example localhost_certificate`, then
//! `cargo run --example hello -- --certfile=localhost.pem --keyfile=localhost-key.pem` and
//! `curl --cacert localhost.pem https://localhost:8888/`.
//!
//! It is for this name, `127.0.0.1` and `::1`, for 90 days, and signed by itself: browsers warn, as they should. Files that are
//! there already are left alone. `--certfile` and `--keyfile` name others.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, KeyPair};
use squall::{Result, options};

fn main() -> Result {
    let certfile = options::define("certfile", "localhost.pem".to_owned()).help("where the certificate goes");
    let keyfile = options::define("keyfile", "localhost-key.pem".to_owned()).help("where its key goes");
    options::parse_command_line()?;
    let (certfile, keyfile) = (certfile.get(), keyfile.get());
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "localhost, for development");
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(90 * 24 * 3600)).into();
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    create(&keyfile, &key.serialize_pem())?;
    create(&certfile, &certificate.pem())?;
    println!("{certfile} and {keyfile} are a certificate for localhost and its key");
    Ok(())
}

/// Writes a new file that only its owner can read.
fn create(path: &str, text: &str) -> Result {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
