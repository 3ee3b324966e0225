//! Without the feature `tls` there are no TLS settings.

use std::io;

use crate::iostream::IoStream;

#[derive(Debug, Clone)]
pub(super) enum SslConnectOptions {}

impl SslConnectOptions {
    #[expect(clippy::unused_async, reason = "that of the other module waits")]
    pub(super) async fn start(&self, _stream: &IoStream, _host: &str) -> io::Result<IoStream> {
        match *self {}
    }
}
