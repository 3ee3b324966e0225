//! The request that goes on to an upstream, made from what was understood of the one that came. Pure.

use std::borrow::Cow;

use http::{Method, Version};

use super::headers::{self, Forwarded};
use super::websocket::Handshake;
use crate::httputil::{HttpHeaders, HttpServerRequest, host, trailers};

/// A request to an upstream, but for its body.
pub(super) struct OnwardRequest<'a> {
    pub(super) method: Method,
    /// Path and query as they came, byte for byte, or `*`.
    pub(super) target: Cow<'a, str>,
    pub(super) headers: HttpHeaders,
    pub(super) body: BodyKind,
    /// The client asks to go on with WebSocket.
    pub(super) websocket: bool,
    /// And may be given it over HTTP/2.
    pub(super) tunnel: bool,
}

/// How the body is framed: the decoded length, written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    None,
    Length(u64),
    Chunked,
}

/// A request that does not go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stays {
    /// It cannot be understood in one way only.
    Bad(&'static str),
    /// Its body is announced to be larger than the server takes.
    TooLarge,
    /// CONNECT: this is no forward proxy.
    Connect,
    /// `Max-Forwards` is used up: this is the last recipient (RFC 9110 §7.6.2).
    LastRecipient,
}

impl<'a> OnwardRequest<'a> {
    pub(super) fn of(request: &'a HttpServerRequest) -> Result<Self, Stays> {
        let method = request.method().clone();
        if method == Method::CONNECT {
            return Err(Stays::Connect);
        }
        let (target, authority) = target(&method, request.uri())?;
        let came = request.headers();
        let body = body_kind(came)?;
        if announced_length(came).is_some_and(|length| length > request.connection().max_body_size()) {
            return Err(Stays::TooLarge);
        }
        if method == Method::TRACE && !matches!(body, BodyKind::None | BodyKind::Length(0)) {
            return Err(Stays::Bad("TRACE has no content"));
        }
        let forwarded = Forwarded {
            remote_ip: request.remote_ip(),
            protocol: request.protocol(),
            host: authority.map(str::as_bytes).or_else(|| came.get_bytes("Host")),
            version: request.version(),
        };
        let mut onward = headers::of_request(came, &forwarded);
        if (method == Method::TRACE || method == Method::OPTIONS)
            && let Some(left) = max_forwards(came)?
        {
            let left = left.checked_sub(1).ok_or(Stays::LastRecipient)?;
            let _ = onward.set("Max-Forwards", left.to_string());
        }
        if let BodyKind::Length(length) = body {
            onward.push_trusted("Content-Length", itoa::Buffer::new().format(length));
        }
        if body == BodyKind::Chunked {
            // The only body that can have trailers on the way up.
            onward.add_some(came, |name, _| name == "Trailer");
        }
        let websocket = asks_for_websocket(request, body);
        if websocket {
            onward.push_trusted("Connection", "Upgrade");
            onward.push_trusted("Upgrade", "websocket");
        } else if takes_trailers(request) {
            // RFC 9110 §10.1.4: who sends TE names it.
            onward.push_trusted("Connection", "TE");
            onward.push_trusted("Te", "trailers");
        }
        Ok(Self { method, target, headers: onward, body, websocket, tunnel: false })
    }
}

/// What a route or a check has let through must mean the same to the upstream, so nothing of it is decoded or
/// normalised. Of the absolute form it is what stands behind the authority, which goes into `Host` (RFC 9112 §3.2.2).
fn target<'a>(method: &Method, uri: &'a str) -> Result<(Cow<'a, str>, Option<&'a str>), Stays> {
    // A fragment is never sent (RFC 9112 §3.2). Whoever takes it for a part of the path sees another resource than who
    // cuts it off.
    if uri.bytes().any(|byte| !(b'!'..=b'~').contains(&byte) || byte == b'#') {
        return Err(Stays::Bad("Invalid request target"));
    }
    if uri.starts_with('/') || (uri == "*" && *method == Method::OPTIONS) {
        return Ok((uri.into(), None));
    }
    let (authority, rest) = host::split_absolute(uri).ok_or(Stays::Bad("Invalid request target"))?;
    let target = match rest {
        // RFC 9112 §3.2.4: the last proxy makes the asterisk of it.
        "" if *method == Method::OPTIONS => "*".into(),
        rest if rest.starts_with('/') => rest.into(),
        rest => format!("/{rest}").into(),
    };
    Ok((target, Some(authority)))
}

/// The server has checked what it decodes by; a body that it has inflated is longer than the header says.
fn body_kind(came: &HttpHeaders) -> Result<BodyKind, Stays> {
    if came.contains("Transfer-Encoding") {
        return Ok(BodyKind::Chunked);
    }
    let mut lengths = came.list_bytes("Content-Length");
    if lengths.next().is_none() {
        return Ok(BodyKind::None);
    }
    match (announced_length(came), lengths.next()) {
        (Some(1..), None) if came.contains("X-Consumed-Content-Encoding") => Ok(BodyKind::Chunked),
        (Some(length), None) => Ok(BodyKind::Length(length)),
        _ => Err(Stays::Bad("Invalid Content-Length")),
    }
}

/// What the first `Content-Length` says, be the body decompressed or not.
fn announced_length(came: &HttpHeaders) -> Option<u64> {
    std::str::from_utf8(came.get_bytes("Content-Length")?).ok()?.parse().ok()
}

fn max_forwards(came: &HttpHeaders) -> Result<Option<u32>, Stays> {
    let mut told = came.list_bytes("Max-Forwards");
    let Some(left) = told.next() else { return Ok(None) };
    let digits = std::str::from_utf8(left).ok().filter(|left| left.bytes().all(|byte| byte.is_ascii_digit()));
    match (digits.and_then(|left| left.parse().ok()), told.next()) {
        (Some(left), None) => Ok(Some(left)),
        _ => Err(Stays::Bad("Invalid Max-Forwards")),
    }
}

/// RFC 9110 §7.8, RFC 6455 §4.1; and RFC 8441, whose requests look the same here, and no others of HTTP/2 do. Whatever else a
/// client would change to is not spoken here, h2c above all: what goes through a tunnel is seen by no route.
fn asks_for_websocket(request: &HttpServerRequest, body: BodyKind) -> bool {
    let came = request.headers();
    *request.method() == Method::GET
        && (request.version() == Version::HTTP_11
            || (Handshake::IS_TRANSLATED && request.version() == Version::HTTP_2))
        && matches!(body, BodyKind::None | BodyKind::Length(0))
        && headers::members(came, "Connection").any(|option| option.eq_ignore_ascii_case(b"upgrade"))
        && names_websocket(came)
}

/// Whether the client has said that it takes trailers. In HTTP/1.1 a `TE` that `Connection` does not name may be that of
/// somebody before the last proxy.
fn takes_trailers(request: &HttpServerRequest) -> bool {
    let came = request.headers();
    trailers::are_accepted(came)
        && match request.version() {
            Version::HTTP_11 => {
                headers::members(came, "Connection").any(|option| option.eq_ignore_ascii_case(b"te"))
            }
            version => version > Version::HTTP_11,
        }
}

pub(super) fn names_websocket(came: &HttpHeaders) -> bool {
    headers::members(came, "Upgrade").any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        const BAD: Result<(&str, Option<&str>), Stays> = Err(Stays::Bad("Invalid request target"));
        for (method, uri, expected) in [
            ("GET", "/a/../%2e//b?c=%00&", Ok(("/a/../%2e//b?c=%00&", None))),
            ("GET", "//other/x", Ok(("//other/x", None))),
            ("GET", "http://h:1/a?b", Ok(("/a?b", Some("h:1")))),
            ("GET", "HTTPS://h?b", Ok(("/?b", Some("h")))),
            ("GET", "http://h", Ok(("/", Some("h")))),
            ("OPTIONS", "http://h", Ok(("*", Some("h")))),
            ("OPTIONS", "http://h/", Ok(("/", Some("h")))),
            ("OPTIONS", "*", Ok(("*", None))),
            ("GET", "*", BAD),
            ("GET", "/a#b", BAD),
            ("GET", "http://h#b", BAD),
            ("GET", "ftp://h/", BAD),
            ("GET", "h:80", BAD),
            ("GET", "/caf\u{e9}", BAD),
        ] {
            let found = target(&Method::from_bytes(method.as_bytes()).unwrap(), uri);
            let expected = expected.map(|(target, authority)| (Cow::from(target), authority));
            assert_eq!(found, expected, "{method} {uri}");
        }
    }

    #[test]
    fn lengths_and_forwards_are_numbers() {
        let headers = |name: &str, values: &[&str]| -> HttpHeaders {
            values.iter().map(|value| (name, *value)).collect()
        };
        assert_eq!(body_kind(&headers("Content-Length", &["007"])), Ok(BodyKind::Length(7)));
        assert_eq!(body_kind(&headers("Content-Length", &[])), Ok(BodyKind::None));
        assert_eq!(body_kind(&headers("Transfer-Encoding", &["chunked"])), Ok(BodyKind::Chunked));
        for bad in [&["2, 2"][..], &["2", "2"], &[""], &["x"]] {
            assert_eq!(body_kind(&headers("Content-Length", bad)), Err(Stays::Bad("Invalid Content-Length")));
        }
        assert_eq!(max_forwards(&headers("Max-Forwards", &["10"])), Ok(Some(10)));
        for bad in [&["+1"][..], &["1", "1"], &[""], &["99999999999"]] {
            assert_eq!(max_forwards(&headers("Max-Forwards", bad)), Err(Stays::Bad("Invalid Max-Forwards")));
        }
    }
}
