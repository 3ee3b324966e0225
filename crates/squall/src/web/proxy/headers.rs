//! What a proxy does to the headers of requests and responses (RFC 9110 §7.6). Pure.

use std::borrow::Cow;
use std::net::IpAddr;

use http::Version;

use crate::httputil::HttpHeaders;

/// RFC 9110 §7.6.1 and the customary ones: they are about one connection.
const HOP_BY_HOP: [&str; 9] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Te",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// Leaves the headers that travel on: neither hop-by-hop nor named by `Connection`.
pub(super) fn keep_end_to_end(headers: &mut HttpHeaders) {
    if let Some(named) = headers.joined("Connection").map(Cow::into_owned) {
        for name in named.split(',') {
            headers.remove(name.trim());
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The protocol that the client asks to change to, if it does (RFC 9110 §7.8).
pub(super) fn upgrade(headers: &HttpHeaders) -> Option<&str> {
    let mut tokens = headers.list("Connection").flat_map(|list| list.split(','));
    let asked = tokens.any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    headers.get("Upgrade").filter(|_| asked)
}

/// What the client's side of the proxy knows about a request.
pub(super) struct Forwarded<'a> {
    pub(super) remote_ip: IpAddr,
    pub(super) protocol: &'a str,
    pub(super) host: &'a str,
    pub(super) version: Version,
}

/// Tells the upstream about the client. `X-Real-Ip` and `X-Scheme` are what Tornado believes first, so a client's own
/// must not get through.
pub(super) fn forward(headers: &mut HttpHeaders, forwarded: &Forwarded<'_>) {
    let ip = forwarded.remote_ip.to_string();
    let chain = headers.joined("X-Forwarded-For").map(|before| format!("{before}, {ip}"));
    let via = add_via(headers, forwarded.version);
    headers.remove("X-Scheme");
    let set = [
        ("X-Forwarded-For", chain.as_deref().unwrap_or(&ip)),
        ("X-Forwarded-Proto", forwarded.protocol),
        ("X-Forwarded-Host", forwarded.host),
        ("X-Real-Ip", &ip),
        ("Via", &via),
    ];
    for (name, value) in set {
        // All of these are tokens, addresses, or were headers before.
        let _ = headers.set(name, value);
    }
}

/// `Via` with this proxy at its end (RFC 9110 §7.6.3).
pub(super) fn add_via(headers: &HttpHeaders, version: Version) -> Cow<'static, str> {
    let own = if version == Version::HTTP_10 { "1.0 squall" } else { "1.1 squall" };
    match headers.joined("Via") {
        Some(before) => format!("{before}, {own}").into(),
        None => own.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HttpHeaders {
        lines.iter().copied().collect()
    }

    #[test]
    fn hop_by_hop_headers_stay_behind() {
        let mut kept = headers(&[
            ("Host", "h"),
            ("Connection", "close, X-Mine"),
            ("connection", "x-other"),
            ("X-Mine", "1"),
            ("X-Other", "2"),
            ("Keep-Alive", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Te", "trailers"),
            ("Upgrade", "websocket"),
            ("Proxy-Authorization", "secret"),
            ("Cookie", "a"),
            ("Cookie", "b"),
        ]);
        keep_end_to_end(&mut kept);
        assert_eq!(kept.iter().collect::<Vec<_>>(), [("Host", "h"), ("Cookie", "a"), ("Cookie", "b")]);
    }

    #[test]
    fn the_client_is_named_and_cannot_lie() {
        let mut lines =
            headers(&[("X-Forwarded-For", "1.1.1.1"), ("X-Real-Ip", "6.6.6.6"), ("X-Scheme", "https")]);
        let forwarded = Forwarded {
            remote_ip: [127, 0, 0, 1].into(),
            protocol: "http",
            host: "example.com",
            version: Version::HTTP_11,
        };
        forward(&mut lines, &forwarded);
        let mut seen: Vec<_> = lines.iter().collect();
        seen.sort_unstable();
        assert_eq!(
            seen,
            [
                ("Via", "1.1 squall"),
                ("X-Forwarded-For", "1.1.1.1, 127.0.0.1"),
                ("X-Forwarded-Host", "example.com"),
                ("X-Forwarded-Proto", "http"),
                ("X-Real-Ip", "127.0.0.1"),
            ]
        );
    }

    #[test]
    fn upgrades() {
        assert_eq!(
            upgrade(&headers(&[("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket")])),
            Some("websocket")
        );
        assert_eq!(upgrade(&headers(&[("Upgrade", "h2c")])), None);
        assert_eq!(upgrade(&headers(&[("Connection", "upgrade")])), None);
    }
}
