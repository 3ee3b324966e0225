//! Why a server does not start.

use std::error::Error;
use std::fmt;

use crate::netutil::BindError;
use crate::tcpserver::StartError;

/// Why a server could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The port cannot be had.
    Bind(BindError),
    /// The server runs already, or processes cannot be forked.
    Start(StartError),
    /// A process did not end as it was asked to.
    Unclean,
    /// `--certfile` or `--keyfile` was given, and this cannot serve TLS.
    NoTls,
    /// The application is wrong; the text names each mistake and its line.
    Application(Box<dyn Error>),
    /// An option of the server is wrong, such as a certificate's file; the error is that option's own.
    Option(Box<dyn Error>),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Unclean => f.write_str("a process did not end as it was asked to"),
            Self::NoTls => {
                f.write_str("this program cannot serve TLS: --certfile and --keyfile are of no use")
            }
            Self::Application(error) | Self::Option(error) => error.fmt(f),
        }
    }
}

impl Error for ServerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bind(error) => error.source(),
            Self::Start(error) => error.source(),
            Self::Unclean | Self::NoTls => None,
            Self::Application(error) | Self::Option(error) => error.source(),
        }
    }
}

impl From<BindError> for ServerError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<StartError> for ServerError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}
