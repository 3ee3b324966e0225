//! In place of `websocket` without that feature: HTTP/1.1 on both sides, and nothing is looked at.

use http::Version;

use super::headers;
use super::onward::names_websocket;
use crate::httputil::{HttpHeaders, HttpServerRequest};

pub(super) struct Handshake;

impl Handshake {
    pub(super) const IS_TRANSLATED: bool = false;

    pub(super) fn begin(_: &HttpServerRequest, _: &mut HttpHeaders) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as its counterpart")]
    pub(super) fn fits_http2(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "as its counterpart")]
    pub(super) fn agree(
        &self,
        came: &HttpHeaders,
        _: Version,
        onward: &mut HttpHeaders,
    ) -> Result<(), &'static str> {
        if !names_websocket(came) {
            return Err("to one that was not asked for");
        }
        headers::switch(onward);
        Ok(())
    }
}
