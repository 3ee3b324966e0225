//! The error of a response that nobody is there to take.

use std::error::Error;
use std::fmt;

use crate::iostream::StreamError;

/// The client has left, or took nothing for so long that the server gave it up.
///
/// What [`Context::flush`](crate::web::Context::flush) and [`EventStream::send`](crate::web::EventStream::send) return then. A
/// handler passes it on with `?`: there is nobody to answer, so it leaves no line in the error log.
#[derive(Debug)]
pub struct Disconnected {
    what: &'static str,
    source: Option<StreamError>,
}

const GONE: &str = "the client has left";

impl Disconnected {
    pub(in crate::web) fn gone() -> Self {
        Self { what: GONE, source: None }
    }

    pub(in crate::web) fn slow() -> Self {
        Self { what: "the client does not take the response", source: None }
    }

    /// The response is given up for another reason, which stands in the log already.
    #[cfg(feature = "client")]
    pub(in crate::web) fn cut_off() -> Self {
        Self { what: "the response was cut off", source: None }
    }
}

impl From<StreamError> for Disconnected {
    fn from(error: StreamError) -> Self {
        Self { what: GONE, source: Some(error) }
    }
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl Error for Disconnected {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}
