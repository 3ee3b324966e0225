//! squall's example programs; each is an `--example` of this package. Here is what they share.

use std::str::FromStr;
use std::time::SystemTime;

use squall::HttpServer;
use squall::httpserver::{IntoDelegate, ServerError};
use squall::tls::{CertReqs, SslOptions};

/// The value of `--port=N` or `--port N` on the command line, else `default`.
pub fn port_option(default: u16) -> u16 {
    option("port").unwrap_or(default)
}

/// Serves on `port`, as [`with_options`] says.
///
/// # Errors
/// When the port cannot be had, or the application or a file is wrong.
pub fn listen<D: IntoDelegate>(
    make_app: impl Fn() -> D + 'static,
    port: u16,
) -> Result<HttpServer, ServerError> {
    let server = with_options(HttpServer::new(make_app));
    server.listen(port)?;
    Ok(server)
}

/// The server, which speaks TLS if the command line has `--certfile=FILE --keyfile=FILE`; several, with commas, are for the
/// names in each. With `--ca_certs=FILE` clients must have a certificate of an authority in that. With `--h2c` it takes
/// HTTP/2 in clear text too.
pub fn with_options(server: HttpServer) -> HttpServer {
    let server = server.h2c(flag("h2c"));
    match ssl_options() {
        Some(options) => server.ssl_options(options),
        None => server,
    }
}

/// What the command line says about TLS, as [`with_options`] takes it.
pub fn ssl_options() -> Option<SslOptions> {
    let (certfiles, keyfiles) = match (option::<String>("certfile"), option::<String>("keyfile")) {
        (Some(certfiles), Some(keyfiles)) => (certfiles, keyfiles),
        (None, None) => return None,
        _ => fail("--certfile and --keyfile go together"),
    };
    let (mut certfiles, mut keyfiles) = (certfiles.split(','), keyfiles.split(','));
    let mut pairs = certfiles.by_ref().zip(keyfiles.by_ref());
    let (certfile, keyfile) = pairs.next()?;
    let mut options = SslOptions::new(certfile, keyfile);
    for (certfile, keyfile) in pairs {
        options = options.certificate(certfile, keyfile);
    }
    if let Some(file) = option::<String>("ca_certs") {
        options = options.ca_certs(file).cert_reqs(CertReqs::Required);
    }
    Some(options)
}

/// `https` if the command line has `--certfile`, else `http`.
pub fn scheme() -> &'static str {
    if option::<String>("certfile").is_some() { "https" } else { "http" }
}

/// The addresses of a server, for people to read.
pub fn addresses(server: &HttpServer) -> String {
    let addresses: Vec<String> = server.local_addrs().iter().map(ToString::to_string).collect();
    addresses.join(" and ")
}

/// The value of `--name=VALUE` or `--name VALUE` on the command line. One that does not parse ends the program.
pub fn option<T: FromStr>(name: &str) -> Option<T> {
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let Some(rest) = argument.strip_prefix("--").and_then(|a| a.strip_prefix(name)) else { continue };
        let value = match rest.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if rest.is_empty() => arguments.next(),
            None => continue,
        };
        match value.as_deref().map(str::parse) {
            Some(Ok(value)) => return Some(value),
            _ => fail(&format!("--{name} needs a value")),
        }
    }
    None
}

/// Whether the command line has `--name`.
pub fn flag(name: &str) -> bool {
    std::env::args().skip(1).any(|argument| argument.strip_prefix("--") == Some(name))
}

/// Ends the program because of how it was called.
pub fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    std::process::exit(1)
}

/// What no other process begins its identifiers with, nor this one when it is started again.
pub fn unique() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", now.as_nanos(), std::process::id())
}
