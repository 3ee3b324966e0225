//! Which fields of a message travel on (RFC 9110 §7.6), and what this proxy adds to them. Pure.
//!
//! Both ways the fields are rebuilt, one by one, from those of the message that came: what is not said here to stay
//! behind goes on as it is, in its order.

use std::net::IpAddr;

use http::Version;

use crate::httputil::connection_fields::is_hop_by_hop;
use crate::httputil::{HttpHeaders, ows};

/// The members of a field that is a list (RFC 9110 §5.6.1).
pub(super) fn members<'a>(headers: &'a HttpHeaders, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let members = headers.list_bytes(name).flat_map(|value| value.split(|&byte| byte == b','));
    members.map(ows::trim_bytes).filter(|member| !member.is_empty())
}

/// Decides field by field what stays behind.
pub(super) struct EndToEnd {
    /// What `Connection` names beyond the usual, in lower case and in order.
    nominated: Vec<Vec<u8>>,
}

impl EndToEnd {
    pub(super) fn of(headers: &HttpHeaders) -> Self {
        let mut nominated: Vec<_> = members(headers, "Connection")
            .filter(|name| ![&b"close"[..], b"keep-alive", b"upgrade"].iter().any(|usual| is(name, usual)))
            .map(<[u8]>::to_ascii_lowercase)
            .filter(|name| !is_for_everybody(name))
            .collect();
        nominated.sort_unstable();
        nominated.dedup();
        Self { nominated }
    }

    /// Whether a field is for who is behind this proxy too, rather than about this connection (RFC 9110 §7.6.1).
    pub(super) fn passes(&self, name: &str) -> bool {
        !is_hop_by_hop(name) && !self.is_nominated(name)
    }

    fn is_nominated(&self, name: &str) -> bool {
        !self.nominated.is_empty()
            && self.nominated.binary_search(&name.as_bytes().to_ascii_lowercase()).is_ok()
    }
}

fn is(name: &[u8], other: &[u8]) -> bool {
    name.eq_ignore_ascii_case(other)
}

/// Fields that `Connection` must not name, since they are for all recipients (RFC 9110 §7.6.1): a peer that names them
/// wants them out of the way of somebody's check. In lower case.
fn is_for_everybody(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 31] = [
        b"age",
        b"allow",
        b"authorization",
        b"cache-control",
        b"cookie",
        b"date",
        b"etag",
        b"expect",
        b"expires",
        b"forwarded",
        b"from",
        b"host",
        b"last-modified",
        b"location",
        b"max-forwards",
        b"origin",
        b"pragma",
        b"range",
        b"referer",
        b"retry-after",
        b"server",
        b"set-cookie",
        b"strict-transport-security",
        b"user-agent",
        b"vary",
        b"via",
        b"www-authenticate",
        b"x-forwarded",
        b"x-real-ip",
        b"x-request-id",
        b"x-scheme",
    ];
    const FAMILIES: [&[u8]; 7] =
        [b"accept", b"access-control-", b"content-", b"if-", b"sec-", b"x-forwarded-", b"x-frame-"];
    NAMES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// What CGI and its heirs (WSGI, PHP) cannot tell from a field that this proxy sets or that frames a message: they read
/// `_` and `-` alike.
fn is_twin(name: &str) -> bool {
    if !name.contains('_') {
        return false;
    }
    let name = name.replace('_', "-").to_ascii_lowercase();
    let is_set_here = matches!(
        name.as_str(),
        "content-length"
            | "expect"
            | "forwarded"
            | "host"
            | "max-forwards"
            | "via"
            | "x-real-ip"
            | "x-scheme"
    );
    is_set_here || is_hop_by_hop(&name) || name.starts_with("x-forwarded-")
}

/// Whether a value of `Expect` is the expectation that this server meets itself (RFC 9110 §10.1.1).
pub(super) fn is_100_continue(value: &[u8]) -> bool {
    is(value, b"100-continue")
}

/// What the client's side of the proxy knows about a request.
pub(super) struct Forwarded<'a> {
    pub(super) remote_ip: IpAddr,
    pub(super) protocol: &'a str,
    /// Where the request is for; `None` when an HTTP/1.0 client does not say.
    pub(super) host: Option<&'a [u8]>,
    pub(super) version: Version,
}

/// The fields of a request as they go to the upstream, without those that frame its body.
pub(super) fn of_request(headers: &HttpHeaders, forwarded: &Forwarded<'_>) -> HttpHeaders {
    let end_to_end = EndToEnd::of(headers);
    let mut onward = HttpHeaders::new();
    // What this proxy adds, and what comes of the body, included.
    onward.reserve(headers.len() + 8, 512);
    if let Some(host) = forwarded.host {
        onward.push_trusted_octets("Host", host);
    }
    onward.add_some(headers, |name, value| {
        let is_ours = matches!(
            name,
            "Host"
                | "Content-Length"
                | "Forwarded"
                | "Via"
                | "X-Forwarded-For"
                | "X-Forwarded-Host"
                | "X-Forwarded-Proto"
                | "X-Real-Ip"
                | "X-Scheme"
        ) || (name == "Expect" && is_100_continue(value));
        !is_ours && end_to_end.passes(name) && !is_twin(name)
    });
    introduce(&mut onward, headers, forwarded);
    onward
}

/// Tells the upstream about the client. `X-Real-Ip` and `X-Scheme` are what Tornado believes first, so a client's own
/// do not get through.
fn introduce(onward: &mut HttpHeaders, headers: &HttpHeaders, forwarded: &Forwarded<'_>) {
    let ip = text_of(forwarded.remote_ip);
    if headers.contains("Forwarded") {
        // RFC 7239 §4: the last element is that of the proxy before.
        let mut element = match forwarded.remote_ip {
            IpAddr::V4(ip) => format!("for={ip};proto={}", forwarded.protocol),
            IpAddr::V6(ip) => format!("for=\"[{ip}]\";proto={}", forwarded.protocol),
        };
        if let Some(host) = forwarded.host.and_then(|host| std::str::from_utf8(host).ok()) {
            element += &format!(";host=\"{host}\"");
        }
        extend(onward, headers, "Forwarded", element.as_bytes());
    }
    extend(onward, headers, "X-Forwarded-For", ip.as_bytes());
    onward.push_trusted("X-Forwarded-Proto", forwarded.protocol);
    if let Some(host) = forwarded.host {
        onward.push_trusted_octets("X-Forwarded-Host", host);
    }
    onward.push_trusted("X-Real-Ip", &ip);
    add_via(onward, headers, forwarded.version);
}

/// An address as text. Most are of IPv4, of which the formatter makes as much work as all else here.
fn text_of(ip: IpAddr) -> String {
    let IpAddr::V4(ip) = ip else { return ip.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in ip.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

/// Says that the protocol changes to WebSocket.
pub(super) fn switch(onward: &mut HttpHeaders) {
    for (name, value) in [("Connection", "Upgrade"), ("Upgrade", "websocket")] {
        // Both are fields.
        let _ = onward.set(name, value);
    }
}

/// The fields of a response as they go to the client, `Date` aside, in place of those in `onward`. The two statuses that
/// make no sense without a field that is hop-by-hop keep it (RFC 9110 §15.5.8, §15.5.22).
pub(super) fn of_response(onward: &mut HttpHeaders, status: u16, headers: &HttpHeaders, version: Version) {
    let end_to_end = EndToEnd::of(headers);
    let meant = match status {
        407 => "Proxy-Authenticate",
        426 => "Upgrade",
        _ => "",
    };
    onward.clear();
    onward.add_some(headers, |name, _| {
        let is_meant = name == meant && !end_to_end.is_nominated(name);
        name != "Via" && (is_meant || end_to_end.passes(name))
    });
    add_via(onward, headers, version);
    if onward.contains("Upgrade") {
        onward.push_trusted("Connection", "Upgrade");
    }
}

/// `Via` with this proxy, `squall`, at its end (RFC 9110 §7.6.3); `version` is that of the message that came.
fn add_via(onward: &mut HttpHeaders, headers: &HttpHeaders, version: Version) {
    let own: &[u8] = match version {
        Version::HTTP_10 => b"1.0 squall",
        Version::HTTP_2 => b"2.0 squall",
        _ => b"1.1 squall",
    };
    extend(onward, headers, "Via", own);
}

/// Adds the field's values in `headers`, in one line, and one more of our own.
fn extend(onward: &mut HttpHeaders, headers: &HttpHeaders, name: &'static str, own: &[u8]) {
    if !headers.contains(name) {
        return onward.push_trusted_octets(name, own);
    }
    let mut list = Vec::new();
    for value in headers.list_bytes(name).filter(|value| !value.is_empty()) {
        list.extend_from_slice(value);
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(own);
    onward.push_trusted_octets(name, &list);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HttpHeaders {
        lines.iter().copied().collect()
    }

    fn forwarded(host: Option<&'static str>, version: Version) -> Forwarded<'static> {
        let remote_ip = [127, 0, 0, 1].into();
        Forwarded { remote_ip, protocol: "http", host: host.map(str::as_bytes), version }
    }

    #[test]
    fn addresses_are_written_as_everybody_does() {
        for text in ["0.0.0.0", "255.255.255.255", "127.0.0.1", "10.200.30.4", "::1", "2001:db8::1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(text_of(ip), text);
        }
    }

    #[test]
    fn hop_by_hop_headers_stay_behind() {
        let came = headers(&[
            ("Host", "h"),
            ("Connection", "close, X-Mine"),
            ("connection", "x-other, Http2-Settings"),
            ("X-Mine", "1"),
            ("X-Other", "2"),
            ("Keep-Alive", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Te", "trailers"),
            ("Trailer", "X-T"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            ("Proxy-Authorization", "secret"),
            ("Cookie", "a"),
            ("Cookie", "b"),
        ]);
        let mut onward = HttpHeaders::new();
        of_response(&mut onward, 200, &came, Version::HTTP_11);
        let expected = [("Host", "h"), ("Cookie", "a"), ("Cookie", "b"), ("Via", "1.1 squall")];
        assert_eq!(onward.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_for_everybody_cannot_be_named_away() {
        let names = [
            "Authorization",
            "Cookie",
            "Content-Length",
            "Content-Type",
            "Set-Cookie",
            "X-Forwarded-Port",
            "Accept-Encoding",
            "Cache-Control",
            "Sec-Websocket-Key",
            "If-None-Match",
        ];
        let all = names.join(" ,").to_lowercase();
        let mut lines = vec![("Connection", all.as_str())];
        lines.extend(names.iter().map(|name| (*name, "1")));
        let mut onward = HttpHeaders::new();
        of_response(&mut onward, 200, &headers(&lines), Version::HTTP_11);
        assert_eq!(onward.iter().map(|(name, _)| name).collect::<Vec<_>>()[..names.len()], names);
    }

    #[test]
    fn the_client_is_named_and_cannot_lie() {
        let came = headers(&[
            ("Host", "old"),
            ("X-Forwarded-For", "1.1.1.1"),
            ("X-Forwarded-For", "2.2.2.2"),
            ("X-Real-Ip", "6.6.6.6"),
            ("X-Scheme", "https"),
            ("X_Forwarded_For", "6.6.6.6"),
            ("x-real_ip", "6.6.6.6"),
            ("Content_Length", "5"),
            ("X_Custom", "stays"),
            ("Forwarded", "for=1.1.1.1"),
            ("Via", "1.0 fred"),
        ]);
        let onward = of_request(&came, &forwarded(Some("example.com"), Version::HTTP_11));
        assert_eq!(
            onward.iter().collect::<Vec<_>>(),
            [
                ("Host", "example.com"),
                ("X_custom", "stays"),
                ("Forwarded", "for=1.1.1.1, for=127.0.0.1;proto=http;host=\"example.com\""),
                ("X-Forwarded-For", "1.1.1.1, 2.2.2.2, 127.0.0.1"),
                ("X-Forwarded-Proto", "http"),
                ("X-Forwarded-Host", "example.com"),
                ("X-Real-Ip", "127.0.0.1"),
                ("Via", "1.0 fred, 1.1 squall"),
            ]
        );
        let bare = of_request(&headers(&[]), &forwarded(None, Version::HTTP_10));
        assert!(!bare.contains("Host") && !bare.contains("X-Forwarded-Host") && !bare.contains("Forwarded"));
        assert_eq!(bare.get("Via"), Some("1.0 squall"));
    }
}
