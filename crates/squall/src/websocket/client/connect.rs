//! What a client does before a connection is open: where a URL and a redirect lead, and the head of the answer.

use std::io;

use url::{Host, Url};

use super::WebSocketConnectError;
use crate::http1::response::{Asked, ResponseHead};
use crate::http1connection::{HeadError, ResponseHeads};
use crate::httpclient::{Credentials, check_reference, follow_reference, reference_text};
use crate::httputil::{ConnectionLimits, HttpHeaders};
use crate::iostream::IoStream;

/// A URL of a WebSocket as one of `http`, which is how it is compared with those of redirects.
pub(in crate::websocket) fn parse_url(text: &str) -> Result<Url, WebSocketConnectError> {
    let wrong = WebSocketConnectError::Url;
    let http = as_http(text);
    check_reference(&http).map_err(|error| wrong(format!("{text:?} is no URL: {error}")))?;
    let url = Url::parse(&http).map_err(|error| wrong(format!("{text:?} is no URL: {error}")))?;
    check_scheme(&url)?;
    Ok(url)
}

fn check_scheme(url: &Url) -> Result<(), WebSocketConnectError> {
    match url.scheme() {
        "http" => Ok(()),
        "https" if cfg!(feature = "tls") => Ok(()),
        "https" => Err(WebSocketConnectError::Tls("wss is spoken with squall's feature `tls` only".into())),
        other => Err(WebSocketConnectError::Url(format!("{other}:// is no scheme of a WebSocket"))),
    }
}

/// `ws:` is `http:` to a URL, and `wss:` is `https:`.
fn as_http(text: &str) -> String {
    match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => format!("http:{rest}"),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => format!("https:{rest}"),
        _ => text.to_owned(),
    }
}

/// Where an answer redirects to (RFC 9110 §15.4), and whether that is another origin than the first URL's, where the
/// credentials must not go. `None` for an answer that is no redirect.
///
/// # Errors
/// When it leads where no WebSocket can be.
pub(in crate::websocket) fn redirect(
    status: u16,
    headers: &HttpHeaders,
    current: &Url,
    first: &Url,
) -> Result<Option<(Url, bool)>, WebSocketConnectError> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get_bytes("Location").map(reference_text) else { return Ok(None) };
    let mut url = follow_reference(current, &as_http(&location)).map_err(|error| {
        WebSocketConnectError::Url(format!("the redirect to {location:?} is no URL: {error}"))
    })?;
    check_scheme(&url)?;
    let other_origin = url.origin() != first.origin();
    if other_origin {
        // Neither can fail for a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    Ok(Some((url, other_origin)))
}

/// Where a URL leads.
pub(in crate::websocket) struct Target {
    /// `wss:`.
    pub(in crate::websocket) tls: bool,
    /// A name, or an address without brackets.
    pub(in crate::websocket) host: String,
    pub(in crate::websocket) port: u16,
    /// For `Host`: without the port when it is the usual one.
    pub(in crate::websocket) authority: String,
    /// With the query.
    pub(in crate::websocket) path: String,
    /// From the URL's user information.
    pub(in crate::websocket) authorization: Option<String>,
}

impl Target {
    pub(in crate::websocket) fn of(url: &Url) -> Result<Self, WebSocketConnectError> {
        let Some(host) = url.host() else {
            return Err(WebSocketConnectError::Url(format!("{url} names no host")));
        };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let host = match host {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let authorization = Credentials::of_url(url).map(|credentials| credentials.basic());
        let (tls, port) = (url.scheme() == "https", url.port_or_known_default().unwrap_or(80));
        Ok(Self { tls, host, port, authority, path, authorization })
    }
}

/// Reads a response's head; interim responses other than 101 are passed over.
pub(in crate::websocket) async fn read_head(
    stream: &IoStream,
) -> Result<ResponseHead, WebSocketConnectError> {
    let limits = ConnectionLimits::default();
    match ResponseHeads::new(stream, &limits, Asked::Other).last().await {
        Ok((head, _)) => Ok(head),
        Err(HeadError::Protocol(_)) => {
            Err(WebSocketConnectError::Handshake("the server's answer is malformed"))
        }
        Err(HeadError::Closed(error)) => {
            let error = error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
            Err(WebSocketConnectError::Connect(error.into()))
        }
    }
}

/// Closes a connection that is given up before it is open.
pub(in crate::websocket) struct CloseOnDrop(Option<IoStream>);

impl CloseOnDrop {
    pub(in crate::websocket) fn new(stream: &IoStream) -> Self {
        Self(Some(stream.clone()))
    }

    pub(in crate::websocket) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            stream.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, host, port, authority, path) in [
            ("ws://a", "a", 80, "a", "/"),
            ("WS://A:80/x?y#z", "a", 80, "a", "/x?y"),
            ("http://a:81/", "a", 81, "a:81", "/"),
            ("ws://[::1]:9/\u{e9}", "::1", 9, "[::1]:9", "/%C3%A9"),
        ] {
            let target = Target::of(&parse_url(text).unwrap()).unwrap();
            assert_eq!(
                (target.host.as_str(), target.port, target.authority.as_str(), target.path.as_str()),
                (host, port, authority, path),
                "{text}"
            );
        }
        let target = Target::of(&parse_url("ws://us%20er:pw@a/").unwrap()).unwrap();
        assert_eq!(target.authorization.as_deref(), Some("Basic dXMgZXI6cHc="));
        let token = Target::of(&parse_url("ws://:token@a/").unwrap()).unwrap();
        assert_eq!(token.authorization.as_deref(), Some("Basic OnRva2Vu"));
        for bad in ["ftp://a/", "a", "ws://", "data:x", "ws://[bad", "ws:///a", "ws:a"] {
            assert!(matches!(parse_url(bad), Err(WebSocketConnectError::Url(_))), "{bad}");
        }
        for tls in ["wss://a/", "WSS://a/", "https://a/"] {
            match parse_url(tls) {
                Ok(url) => assert!(
                    cfg!(feature = "tls") && Target::of(&url).is_ok_and(|to| to.tls && to.port == 443)
                ),
                Err(error) => {
                    assert!(cfg!(not(feature = "tls")) && matches!(error, WebSocketConnectError::Tls(_)));
                }
            }
        }
    }

    #[test]
    fn redirects() {
        let follow = |status, location: &str| {
            let url = parse_url("ws://user:pw@a/x/y?q").unwrap();
            let headers: HttpHeaders = [("Location", location)].into_iter().collect();
            redirect(status, &headers, &url, &url)
        };
        for (location, to, other_origin) in [
            ("z", "http://user:pw@a/x/z", false),
            ("/z?w", "http://user:pw@a/z?w", false),
            ("ws://a:80/", "http://a/", false),
            ("//b/", "http://b/", true),
            ("ws://a:81/", "http://a:81/", true),
            ("http://eve:pw@b/", "http://b/", true),
        ] {
            for status in [301, 302, 303, 307, 308] {
                let (url, other) = follow(status, location).unwrap().unwrap();
                assert_eq!((url.as_str(), other), (to, other_origin), "{location}");
            }
        }
        for status in [200, 300, 304, 305, 401] {
            assert!(follow(status, "/z").unwrap().is_none(), "{status}");
        }
        let url = parse_url("ws://a/").unwrap();
        assert!(redirect(302, &HttpHeaders::new(), &url, &url).unwrap().is_none());
        assert_eq!(
            follow(302, "wss://a/").is_ok_and(|to| to.is_some_and(|(_, other)| other)),
            cfg!(feature = "tls")
        );
        assert!(matches!(follow(302, "ftp://a/"), Err(WebSocketConnectError::Url(_))));
        for bad in ["http://[bad", "ws:///b", "///b", "/\\b", "/\t/b"] {
            assert!(matches!(follow(302, bad), Err(WebSocketConnectError::Url(_))), "{bad:?}");
        }
    }
}
