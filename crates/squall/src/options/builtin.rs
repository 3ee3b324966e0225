//! The options that every program has, and how squall reads them.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::development;
use super::parser::OptionParser;
use super::value::OptionValue;
use super::{OPTIONS, OptionError};
use crate::log;

const SERVER: &str = "Server";
const LOGGING: &str = "Logging";

pub(super) fn define(options: &OptionParser) {
    options.define("port", 8888_u16).help("where to listen").group(SERVER);
    options
        .define("address", String::new())
        .help("where to listen: an address or name, empty for all")
        .group(SERVER);
    options
        .define_opt::<PathBuf>("unix-socket")
        .help("a Unix socket to listen on, instead of a port")
        .metavar("PATH")
        .group(SERVER);
    options
        .define("processes", 0_usize)
        .help("how many processes serve, 0 for one per core")
        .metavar("N")
        .group(SERVER);
    options
        .define_multiple::<PathBuf>("certfile", Vec::new())
        .help("a certificate chain, PEM, to serve TLS with; several are each for the names in it")
        .metavar("FILE,...")
        .group(SERVER);
    options
        .define_multiple::<PathBuf>("keyfile", Vec::new())
        .help("its private key, PEM")
        .metavar("FILE,...")
        .group(SERVER);
    options
        .define_opt::<PathBuf>("ca-certs")
        .help("the authorities, PEM, of one of which clients must have a certificate")
        .metavar("FILE")
        .group(SERVER);
    options.define("h2c", false).help("serve HTTP/2 in clear text too, to clients that know").group(SERVER);
    options
        .define("drain-timeout", Duration::from_secs(30))
        .help("how long connections may go on after SIGTERM")
        .metavar("TIME")
        .group(SERVER);
    options
        .define("debug", development::is_on())
        .help("one process, error pages that tell all, restart when the program is built anew")
        .group(SERVER);
    options
        .define("logging", log::Threshold::Info)
        .help("the least severe level that is logged; 'none' leaves logging alone")
        .metavar("LEVEL")
        .group(LOGGING);
    options
        .define("log-format", log::LogFormat::Pretty)
        .help("how a line looks")
        .metavar("FORMAT")
        .group(LOGGING);
    options
        .define_opt::<bool>("log-to-stderr")
        .help("log to standard error (as by default if there is no --log-file-prefix)")
        .group(LOGGING);
    options
        .define_opt::<PathBuf>("log-file-prefix")
        .help("a file to log to; when it is rotated the old one's name has a number or date after it")
        .metavar("FILE")
        .group(LOGGING);
    options
        .define("log-file-max-size", 100_000_000_u64)
        .help("bytes in a log file before it is rotated")
        .metavar("BYTES")
        .group(LOGGING);
    options
        .define("log-file-num-backups", 10_usize)
        .help("how many rotated log files are kept")
        .metavar("N")
        .group(LOGGING);
    options
        .define("log-rotate-mode", log::RotateMode::Size)
        .help("by what log files are rotated: their size, or midnight")
        .metavar("MODE")
        .group(LOGGING);
    options.mark_builtin();
    options.add_fallible_callback(enable_logging);
}

impl OptionValue for log::Threshold {
    const KIND: &'static str = "a level";
    const CHOICES: &'static [&'static str] = &["debug", "info", "warning", "error", "none"];

    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warning" => Self::Warning,
            "error" => Self::Error,
            "none" => Self::None,
            _ => return Err(format!("'{text}'")),
        })
    }

    fn render(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl OptionValue for log::LogFormat {
    const KIND: &'static str = "a format";
    const CHOICES: &'static [&'static str] = &["pretty", "json", "logfmt"];

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            "logfmt" => Ok(Self::Logfmt),
            _ => Err(format!("'{text}'")),
        }
    }

    fn render(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl OptionValue for log::RotateMode {
    const KIND: &'static str = "a mode";
    const CHOICES: &'static [&'static str] = &["size", "time"];

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "size" => Ok(Self::Size),
            "time" => Ok(Self::Time),
            _ => Err(format!("'{text}'")),
        }
    }

    fn render(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// What Tornado does after the command line is parsed.
fn enable_logging() -> Result<(), OptionError> {
    let options = &*OPTIONS;
    let typed = |name: &str| options.own_text(name);
    let parsed = |name: &str| typed(name).and_then(|text| text.parse().ok());
    let settings = log::LogSettings {
        threshold: typed("logging").and_then(|text| OptionValue::parse(&text).ok()).unwrap_or_default(),
        format: typed("log-format").and_then(|text| OptionValue::parse(&text).ok()).unwrap_or_default(),
        file_prefix: typed("log-file-prefix").map(PathBuf::from),
        max_size: parsed("log-file-max-size").unwrap_or(100_000_000),
        num_backups: parsed("log-file-num-backups").unwrap_or(10) as usize,
        rotate_mode: typed("log-rotate-mode")
            .and_then(|text| OptionValue::parse(&text).ok())
            .unwrap_or_default(),
        to_stderr: typed("log-to-stderr").map(|text| text == "true"),
    };
    let path = settings.file_prefix.clone().unwrap_or_default();
    log::enable(settings).map_err(|error| OptionError::File {
        path,
        problem: format!("the log file cannot be opened: {error}"),
    })
}

/// The files to serve TLS with.
#[derive(Debug)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is nothing to be done with them"))]
pub(crate) struct TlsFiles {
    /// Certificates with their keys.
    pub(crate) pairs: Vec<(PathBuf, PathBuf)>,
    pub(crate) ca_certs: Option<PathBuf>,
}

impl TlsFiles {
    /// Where one of a pair is missing, both are in the other.
    fn given(certfiles: Option<String>, keyfiles: Option<String>, ca_certs: Option<PathBuf>) -> Option<Self> {
        let files = |list: Option<String>| -> Vec<PathBuf> {
            let list = list.unwrap_or_default();
            list.split(',').filter(|file| !file.is_empty()).map(PathBuf::from).collect()
        };
        let (certfiles, keyfiles) = (files(certfiles), files(keyfiles));
        let count = certfiles.len().max(keyfiles.len());
        let pair = |at: usize| {
            let certfile = certfiles.get(at).or(keyfiles.get(at))?;
            Some((certfile.clone(), keyfiles.get(at).unwrap_or(certfile).clone()))
        };
        let pairs: Vec<_> = (0..count).filter_map(pair).collect();
        (!pairs.is_empty() || ca_certs.is_some()).then_some(Self { pairs, ca_certs })
    }
}

/// What a server takes from the options: what was given, or is of the application's own defining.
#[derive(Debug, Default)]
pub(crate) struct Builtins {
    pub(crate) port: Option<u16>,
    pub(crate) address: Option<String>,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) processes: Option<usize>,
    pub(crate) tls: Option<TlsFiles>,
    #[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "there is nothing to switch on"))]
    pub(crate) h2c: Option<bool>,
    pub(crate) drain_timeout: Option<Duration>,
    pub(crate) debug: bool,
}

/// The options as far as they were given in one of the sources.
///
/// # Errors
/// When the application's own option of such a name is of a type that cannot be taken for it.
pub(crate) fn given() -> Result<Builtins, OptionError> {
    fn read<T: OptionValue>(name: &str) -> Result<Option<T>, OptionError> {
        let Some(text) = OPTIONS.given_text(name) else { return Ok(None) };
        let wrong =
            |given| OptionError::WrongType { name: name.to_owned(), wanted: T::KIND.to_owned(), given };
        T::parse(&text).map(Some).map_err(wrong)
    }
    Ok(Builtins {
        port: read("port")?,
        address: read("address")?,
        unix_socket: read("unix-socket")?,
        processes: read("processes")?,
        tls: TlsFiles::given(read("certfile")?, read("keyfile")?, read("ca-certs")?),
        h2c: read("h2c")?,
        drain_timeout: read("drain-timeout")?,
        debug: read("debug")?.unwrap_or_else(development::is_on),
    })
}

impl Builtins {
    /// The port to listen on where the program binds none: also a default, of the application's own first.
    pub(crate) fn default_port() -> u16 {
        OPTIONS.own_text("port").and_then(|text| u16::from_str(&text).ok()).unwrap_or(8888)
    }

    /// The address likewise; empty for all.
    pub(crate) fn default_address() -> String {
        OPTIONS.own_text("address").unwrap_or_default()
    }
}
