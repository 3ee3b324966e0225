//! The handshake over HTTP/2 (RFC 8441; feature `http2`): a tunnel is asked for instead of a key.

use http::Method;

use super::connect::{CloseOnDrop, Target};
use super::{Opened, WebSocketConnectError, WebSocketRequest};
use crate::http2connection::client::{Failure, Received, Request, Session, Settings};
use crate::httputil::{ConnectionLimits, HttpHeaders};
use crate::iostream::IoStream;

/// How much of what the server sends may be under way before it is taken. As of [`httpclient`](crate::httpclient).
const WINDOW: u32 = 262_144;

impl WebSocketRequest {
    /// Asks over a connection that is this WebSocket's own. `None` from a server that wants HTTP/1.1 for that.
    pub(super) async fn over_http2(
        &self,
        target: &Target,
        stream: IoStream,
    ) -> Result<Option<Opened>, WebSocketConnectError> {
        let closing = CloseOnDrop::new(&stream);
        // Frames that open windows are small, and the server waits for them, whatever the WebSocket's own messages may do.
        let _ = stream.set_nodelay(true);
        let (headers, host) = self.fields_of_http2(target)?;
        let session = Session::begin(stream, settings()).await?;
        let leaving = || WebSocketConnectError::from(Failure::Ended(None));
        let mut place = session.try_place().ok_or_else(leaving)?;
        if !place.take_tunnel().await {
            return Ok(None);
        }
        let asked = Request {
            method: &Method::GET,
            scheme: if target.tls { "https" } else { "http" },
            authority: host.as_bytes(),
            target: &target.path,
            headers: &headers,
            length: None,
            is_forwarded: false,
            protocol: Some("websocket"),
        };
        let (mut exchange, sink) = place.send(asked, false)?;
        let (head, rest) = loop {
            match exchange.next().await {
                Ok(Received::Interim(_)) => {}
                Ok(Received::Last(head, rest)) => break (head, rest),
                Err(Failure::Http1Required) => return Ok(None),
                Err(failure) => return Err(failure.into()),
            }
        };
        if !(200..300).contains(&head.status) {
            let headers = Box::new(head.headers);
            return Err(WebSocketConnectError::Status { status: head.status, headers });
        }
        let opened = self.agree(rest.into_tunnel(sink).ok_or_else(leaving)?, head.headers)?;
        closing.disarm();
        Ok(Some(opened))
    }

    /// All header fields, and whom the request is for.
    fn fields_of_http2(&self, target: &Target) -> Result<(HttpHeaders, String), WebSocketConnectError> {
        let mut headers = HttpHeaders::new();
        self.add_fields(&mut headers, target)?;
        for (name, value) in self.headers.headers.iter_bytes() {
            headers.add(name, value)?;
        }
        let host = self.headers.headers.get("Host").unwrap_or(&target.authority).to_owned();
        Ok((headers, host))
    }
}

fn settings() -> Settings {
    let limits = ConnectionLimits::default();
    Settings {
        max_header_size: limits.max_header_size,
        max_header_count: limits.max_header_count,
        stream_window: WINDOW,
        max_streams: 1,
        // The WebSocket has pings of its own.
        keep_alive_interval: None,
        keeps: false,
    }
}

impl From<Failure> for WebSocketConnectError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unprocessed(error) | Failure::Reset(error) | Failure::Ended(Some(error)) => {
                Self::Connect(error.into())
            }
            Failure::Ended(None) => {
                Self::Connect(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
            }
            Failure::Http1Required => Self::ExtendedConnect,
            Failure::Malformed(_) => Self::Handshake("the server's answer is malformed"),
            Failure::Request(what) => Self::Connect(what.into()),
        }
    }
}
