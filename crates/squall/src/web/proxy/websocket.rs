//! The handshake of a WebSocket that is passed on: over HTTP/1.1 a key, and what is made of it (RFC 6455 §4); over HTTP/2 a
//! tunnel is asked for (RFC 8441).

use http::Version;

use super::headers;
use super::onward::names_websocket;
use crate::httputil::{HttpHeaders, HttpServerRequest};
use crate::websocket::{accept_key, check_key, check_response, new_key};

/// The client's side of it.
pub(super) enum Handshake {
    /// Over HTTP/1.1, with this key; `None` when the fields are not those of RFC 6455, which the upstream may judge if it
    /// sees them.
    Http1(Option<String>),
    /// Over HTTP/2, with the key that an upstream of HTTP/1.1 gets.
    Http2(String),
}

impl Handshake {
    /// Whether one version can be told what another said.
    pub(super) const IS_TRANSLATED: bool = true;

    /// Reads what came, and completes what goes on.
    pub(super) fn begin(came: &HttpServerRequest, onward: &mut HttpHeaders) -> Self {
        if came.version() != Version::HTTP_2 {
            return Self::Http1(check_key(came.headers()).ok().map(str::to_owned));
        }
        let mut random = [0; 16];
        // It shows only that the upstream has read it, and is no secret (RFC 6455 §10.8).
        let _ = getrandom::fill(&mut random);
        let key = new_key(random);
        // Base64 is a value.
        let _ = onward.set("Sec-WebSocket-Key", key.as_str());
        Self::Http2(key)
    }

    /// Whether an upstream of HTTP/2 can be asked.
    pub(super) fn fits_http2(&self) -> bool {
        !matches!(self, Self::Http1(None))
    }

    /// Makes the client's agreement of the upstream's fields, which `came` in this version.
    ///
    /// # Errors
    /// When the upstream has not agreed; with the reason.
    pub(super) fn agree(
        &self,
        came: &HttpHeaders,
        version: Version,
        onward: &mut HttpHeaders,
    ) -> Result<(), &'static str> {
        let is_http2 = version == Version::HTTP_2;
        if !is_http2 && !names_websocket(came) {
            return Err("to one that was not asked for");
        }
        match self {
            Self::Http2(key) => {
                if !is_http2 {
                    check_response(came, key)?;
                }
                onward.remove("Sec-WebSocket-Accept");
            }
            Self::Http1(key) => {
                if is_http2 {
                    let key = key.as_ref().ok_or("without a key")?;
                    // As above.
                    let _ = onward.set("Sec-WebSocket-Accept", accept_key(key).as_str());
                }
                headers::switch(onward);
            }
        }
        Ok(())
    }
}
