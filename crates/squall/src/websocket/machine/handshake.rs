//! The opening handshake (RFC 6455 §4): header fields in, a verdict out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::httputil::{HttpHeaders, ows};

/// The value of `Sec-WebSocket-Accept` for a key (Tornado's `compute_accept_value`).
#[doc(alias = "compute_accept_value")]
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest)
}

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is not upgraded. The texts are Tornado's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotWebSocket,
    NotUpgrade,
    Origin,
    Version,
    Headers,
    /// RFC 6455 §4.1: at least HTTP/1.1. (Tornado does not look.)
    OldHttp,
}

impl Refusal {
    pub(in crate::websocket) fn status(self) -> u16 {
        match self {
            Self::NotWebSocket | Self::NotUpgrade | Self::Headers | Self::OldHttp => 400,
            Self::Origin => 403,
            Self::Version => 426,
        }
    }

    pub(in crate::websocket) fn text(self) -> &'static str {
        match self {
            Self::NotWebSocket => "Can \"Upgrade\" only to \"WebSocket\".",
            Self::NotUpgrade => "\"Connection\" must be \"Upgrade\".",
            Self::Origin => "Cross origin websockets not allowed",
            Self::Version => "",
            Self::Headers => "Missing/Invalid WebSocket headers",
            Self::OldHttp => "WebSocket needs HTTP/1.1",
        }
    }
}

/// What comes before the question of the origin.
pub(in crate::websocket) fn check_upgrade(headers: &HttpHeaders, http11: bool) -> Result<(), Refusal> {
    let upgrade = headers.get("Upgrade").unwrap_or_default();
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return Err(Refusal::NotWebSocket);
    }
    let mut tokens = headers.list("Connection").flat_map(|value| value.split(','));
    if !tokens.any(|token| ows::trim(token).eq_ignore_ascii_case("upgrade")) {
        return Err(Refusal::NotUpgrade);
    }
    if http11 { Ok(()) } else { Err(Refusal::OldHttp) }
}

/// What comes after it over HTTP/2, which needs no key (RFC 8441 §5).
pub(in crate::websocket) fn check_version(headers: &HttpHeaders) -> Result<(), Refusal> {
    if headers.get("Sec-WebSocket-Version") == Some("13") { Ok(()) } else { Err(Refusal::Version) }
}

/// What comes after it over HTTP/1.1; gives the key.
pub(crate) fn check_key(headers: &HttpHeaders) -> Result<&str, Refusal> {
    check_version(headers)?;
    // RFC 6455 §11.3.1: not more than once.
    if headers.list_bytes("Sec-WebSocket-Key").nth(1).is_some() {
        return Err(Refusal::Headers);
    }
    match (headers.get("Host"), headers.get("Sec-WebSocket-Key")) {
        (Some(host), Some(key)) if !host.is_empty() && is_key(key) => Ok(key),
        _ => Err(Refusal::Headers),
    }
}

/// Whether a `Sec-WebSocket-Key` is 16 octets in base64 (RFC 6455 §4.2.1).
fn is_key(key: &str) -> bool {
    key.len() == 24 && STANDARD.decode(key).is_ok_and(|octets| octets.len() == 16)
}

/// Who asks, as far as the browser tells.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::websocket) enum Asker<'a> {
    /// A page of this site, the user, or no browser.
    Allowed,
    /// A page of this origin, if the application allows it.
    Ask(&'a str),
    /// A page of another site that does not say which.
    Refused,
}

/// Tornado 6.6's rule: `Sec-Fetch-Site` where the browser sends it, else whether `Origin` names this host.
pub(in crate::websocket) fn asker(headers: &HttpHeaders) -> Asker<'_> {
    let origin = headers.get("Origin").or_else(|| headers.get("Sec-WebSocket-Origin"));
    match (headers.get("Sec-Fetch-Site"), origin) {
        (Some("same-origin" | "none"), _) | (None, None) => Asker::Allowed,
        (None, Some(origin)) if is_same_origin(origin, headers.get("Host").unwrap_or_default()) => {
            Asker::Allowed
        }
        (_, Some(origin)) if !origin.is_empty() => Asker::Ask(origin),
        _ => Asker::Refused,
    }
}

/// Whether an origin names this host, port included. The scheme is not compared: a proxy may have changed it.
fn is_same_origin(origin: &str, host: &str) -> bool {
    let Some((_, rest)) = origin.split_once("//") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !authority.is_empty() && authority.eq_ignore_ascii_case(host)
}

/// The subprotocols that a client offers, its favourite first.
pub(in crate::websocket) fn subprotocols(headers: &HttpHeaders) -> impl Iterator<Item = &str> {
    let values = headers.list("Sec-WebSocket-Protocol").flat_map(|value| value.split(','));
    values.map(ows::trim).filter(|name| !name.is_empty())
}

/// A fresh `Sec-WebSocket-Key` from these random bytes.
pub(crate) fn new_key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// What is wrong with the head of a server's 101, extensions and subprotocol aside (§4.1).
pub(crate) fn check_response(headers: &HttpHeaders, key: &str) -> Result<(), &'static str> {
    if !headers.get("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return Err("the server does not upgrade to websocket");
    }
    let mut tokens = headers.list("Connection").flat_map(|value| value.split(','));
    if !tokens.any(|token| ows::trim(token).eq_ignore_ascii_case("upgrade")) {
        return Err("the server does not upgrade the connection");
    }
    if headers.get("Sec-WebSocket-Accept") != Some(&accept_key(key)) {
        return Err("the server's Sec-WebSocket-Accept does not belong to our key");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HttpHeaders {
        let mut headers = HttpHeaders::new();
        for (name, value) in lines {
            headers.add(name, *value).unwrap();
        }
        headers
    }

    #[test]
    fn the_key_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn verdicts() {
        let good = [("Upgrade", "WebSocket"), ("Connection", "keep-alive, Upgrade")];
        assert_eq!(check_upgrade(&headers(&good), true), Ok(()));
        assert_eq!(check_upgrade(&headers(&good), false), Err(Refusal::OldHttp));
        assert_eq!(check_upgrade(&headers(&good[..1]), true), Err(Refusal::NotUpgrade));
        assert_eq!(check_upgrade(&headers(&good[1..]), true), Err(Refusal::NotWebSocket));
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let good = [("Host", "h"), ("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13")];
        assert_eq!(check_key(&headers(&good)), Ok(key));
        for bad in [
            "",
            "k",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZWFi",
            "dGhlIHNhbXBsZSBub25jZ!==",
            &[key, "A"].concat(),
        ] {
            let lines = [good[0], ("Sec-WebSocket-Key", bad), good[2]];
            assert_eq!(check_key(&headers(&lines)), Err(Refusal::Headers), "{bad:?}");
        }
        let twice = [good[0], good[1], good[1], good[2]];
        assert_eq!(check_key(&headers(&twice)), Err(Refusal::Headers));
        assert_eq!(check_key(&headers(&good[..2])), Err(Refusal::Version));
        assert_eq!(check_key(&headers(&good[1..])), Err(Refusal::Headers));
        assert_eq!(check_key(&headers(&[good[0], good[2]])), Err(Refusal::Headers));
    }

    #[test]
    fn origins() {
        let host = ("Host", "Example.com:8080");
        for (lines, expected) in [
            (vec![host], Asker::Allowed),
            (vec![host, ("Origin", "http://example.com:8080")], Asker::Allowed),
            (vec![host, ("Origin", "https://EXAMPLE.com:8080/x?y#z")], Asker::Allowed),
            (vec![host, ("Origin", "http://example.com")], Asker::Ask("http://example.com")),
            (
                vec![host, ("Origin", "http://example.com:8080.evil")],
                Asker::Ask("http://example.com:8080.evil"),
            ),
            (vec![host, ("Origin", "null")], Asker::Ask("null")),
            (vec![host, ("Sec-WebSocket-Origin", "http://evil")], Asker::Ask("http://evil")),
            (vec![host, ("Origin", "http://x"), ("Sec-Fetch-Site", "same-origin")], Asker::Allowed),
            (vec![host, ("Origin", "http://x"), ("Sec-Fetch-Site", "cross-site")], Asker::Ask("http://x")),
            (vec![host, ("Sec-Fetch-Site", "same-site")], Asker::Refused),
        ] {
            assert_eq!(asker(&headers(&lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn subprotocols_keep_their_order() {
        let headers = headers(&[("Sec-WebSocket-Protocol", "b, a"), ("Sec-WebSocket-Protocol", ",c")]);
        assert_eq!(subprotocols(&headers).collect::<Vec<_>>(), ["b", "a", "c"]);
    }
}
