//! In place of `http2` without that feature: there is no such way.

use super::connect::Target;
use super::{Opened, WebSocketConnectError, WebSocketRequest};
use crate::iostream::IoStream;

impl WebSocketRequest {
    #[allow(clippy::unused_async, clippy::unused_self, reason = "as its counterpart")]
    pub(super) async fn over_http2(
        &self,
        _: &Target,
        _: IoStream,
    ) -> Result<Option<Opened>, WebSocketConnectError> {
        Ok(None)
    }
}
