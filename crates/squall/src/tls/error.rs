//! What is wrong with TLS settings.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why [`SslOptions`](super::SslOptions) cannot be used: which file or option, and the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SslError {
    what: &'static str,
    path: Option<PathBuf>,
    cause: String,
}

impl SslError {
    pub(super) fn new(what: &'static str, path: Option<&Path>, cause: impl fmt::Display) -> Self {
        Self { what, path: path.map(Path::to_owned), cause: cause.to_string() }
    }

    /// The file, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The option: `certfile`, `keyfile`, `ca_certs`, `ciphers`, …
    pub fn option(&self) -> &str {
        self.what
    }

    /// What is wrong with it.
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

impl fmt::Display for SslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "ssl_options: {} {}: {}", self.what, path.display(), self.cause),
            None => write!(f, "ssl_options: {}: {}", self.what, self.cause),
        }
    }
}

impl Error for SslError {}
