//! In place of `tls` without that feature: there are no such settings.

use super::HttpClientError;
use crate::iostream::IoStream;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TlsConfig {}

impl TlsConfig {
    #[expect(clippy::unused_async, reason = "as its counterpart")]
    pub(super) async fn connect(&self, _: &IoStream, _: &str, _: bool) -> Result<IoStream, HttpClientError> {
        match *self {}
    }
}

#[cfg(feature = "http2")]
pub(crate) fn takes_http2(_: &IoStream) -> bool {
    false
}

pub(crate) async fn secured(
    _: Option<&TlsConfig>,
    _: &IoStream,
    _: &str,
    _: bool,
) -> Result<IoStream, HttpClientError> {
    Err(HttpClientError::Request("TLS is spoken with squall's feature `tls` only".to_owned()))
}
