//! Heads between squall's messages and HTTP/2.

use std::borrow::Cow;

use h2::ext::Protocol;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};

use super::settings::Settings;
use crate::http1::ParseError;
use crate::http1::response::ResponseHead;
use crate::httputil::{HttpHeaders, field_map, ows, reason_phrase};

/// Whether white space is part of a value's ends, which HTTP/1 would have taken off: what forwards it there would say
/// something else than what was checked here (RFC 9113 §8.2.1).
fn is_padded(value: &[u8]) -> bool {
    ows::trim_bytes(value).len() != value.len()
}

/// The fields behind a body; `None` when they are malformed or too many.
pub(super) fn trailers(fields: &HeaderMap, most: usize) -> Option<HttpHeaders> {
    if fields.len() > most || fields.values().any(|value| is_padded(value.as_bytes())) {
        return None;
    }
    field_map::from_trailers(fields).ok()
}

/// A request, but for its body.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) scheme: &'a str,
    /// What HTTP/1 has as `Host`.
    pub(crate) authority: &'a [u8],
    /// Path and query, or the `*` of OPTIONS.
    pub(crate) target: &'a str,
    /// Those of the connection are left out.
    pub(crate) headers: &'a HttpHeaders,
    /// How long the body is, if that is known.
    pub(crate) length: Option<u64>,
    /// It is somebody else's: a status that nobody knows gets no reason.
    pub(crate) is_forwarded: bool,
    /// It asks for a tunnel that carries this (RFC 8441 §4); the method is not sent.
    pub(crate) protocol: Option<&'static str>,
}

impl Request<'_> {
    /// # Errors
    /// When HTTP/2 has no way to say that; with the reason.
    pub(super) fn into_head(self) -> Result<http::Request<()>, String> {
        if *self.method == Method::CONNECT {
            return Err("CONNECT asks for a tunnel, which is no fetch".to_owned());
        }
        let authority = Authority::try_from(self.authority)
            .ok()
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or("Host is no host")?;
        let target = PathAndQuery::try_from(self.target)
            .ok()
            .filter(|target| target.as_str() == self.target)
            .ok_or_else(|| format!("{:?} cannot be asked for over HTTP/2", self.target))?;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.scheme == "https" { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
        parts.path_and_query = Some(target);
        let uri = Uri::from_parts(parts).map_err(|error| error.to_string())?;
        let mut head = http::Request::new(());
        match self.protocol {
            Some(protocol) => {
                *head.method_mut() = Method::CONNECT;
                head.extensions_mut().insert(Protocol::from_static(protocol));
            }
            None => *head.method_mut() = self.method.clone(),
        }
        *head.uri_mut() = uri;
        *head.version_mut() = Version::HTTP_2;
        *head.headers_mut() = self.fields()?;
        Ok(head)
    }

    fn fields(&self) -> Result<HeaderMap, String> {
        let mut map = field_map::to_map(self.headers, self.length).map_err(|_| "too many header fields")?;
        map.remove(header::HOST);
        map.remove("http2-settings");
        if self.protocol.is_some() {
            // Whose answer shows that the server is none of HTTP alone, which `:protocol` has asked (RFC 8441 §5).
            map.remove("sec-websocket-key");
        }
        // What the caller's Connection names is about a connection of HTTP/1 (RFC 9110 §7.6.1).
        for name in members(self.headers, "Connection") {
            if let Ok(name) = HeaderName::from_bytes(name)
                && name != header::CONTENT_LENGTH
            {
                map.remove(name);
            }
        }
        // RFC 9113 §8.2.2: the one word that may be said of it.
        if members(self.headers, "Te").any(|coding| coding.eq_ignore_ascii_case(b"trailers")) {
            map.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION] {
            if let Some(value) = map.get_mut(name) {
                // Never in a table that others might probe (RFC 7541 §7.1.3).
                value.set_sensitive(true);
            }
        }
        Ok(map)
    }
}

fn members<'a>(headers: &'a HttpHeaders, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.list_bytes(name).flat_map(|value| value.split(|&octet| octet == b',')).map(ows::trim_bytes)
}

/// The head as HTTP/1.1 would have brought it, and how long the body is said to be.
pub(super) fn response_head(
    parts: &http::response::Parts,
    settings: &Settings,
    is_forwarded: bool,
) -> Result<(ResponseHead, Option<u64>), ParseError> {
    let (fields, status) = (&parts.headers, parts.status.as_u16());
    if fields.len() > settings.max_header_count {
        return Err(ParseError::TooManyHeaders);
    }
    // As long as the lines would be.
    let size: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > settings.max_header_size {
        return Err(ParseError::HeadTooLarge);
    }
    if fields.values().any(|value| is_padded(value.as_bytes())) {
        return Err(ParseError::HeaderValue);
    }
    let lengths = fields.get_all(header::CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let mut length = field_map::content_length(lengths).map_err(|_| ParseError::ContentLength)?;
    if matches!(status, 100..=199 | 204) {
        // As in HTTP/1: an error, or a word that is dropped.
        if length.is_some_and(|length| length > 0) && !is_forwarded {
            return Err(ParseError::UnexpectedBody);
        }
        length = length.filter(|&length| length == 0);
    }
    let mut headers = HttpHeaders::new();
    field_map::add_response_fields(&mut headers, fields).map_err(|_| ParseError::HeaderValue)?;
    if let Some(length) = length {
        headers.set("Content-Length", length).map_err(|_| ParseError::HeaderValue)?;
    }
    let reason = match reason_phrase(status) {
        "Unknown" if is_forwarded => "",
        usual => usual,
    };
    Ok((ResponseHead { version: Version::HTTP_2, status, reason: Cow::Borrowed(reason), headers }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&str, &str)], target: &str, authority: &str) -> Result<http::Request<()>, String> {
        let headers = headers.iter().copied().collect();
        Request {
            method: &Method::OPTIONS,
            scheme: "https",
            authority: authority.as_bytes(),
            target,
            headers: &headers,
            length: Some(3),
            is_forwarded: false,
            protocol: None,
        }
        .into_head()
    }

    #[test]
    fn what_is_about_a_connection_stays_away() {
        let headers = [
            ("Host", "other"),
            ("Connection", "close, X-Mine"),
            ("X-Mine", "1"),
            ("Keep-Alive", "5"),
            ("Proxy-Connection", "keep-alive"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "x"),
            ("TE", "gzip, trailers"),
            ("Content-Length", "9"),
            ("Authorization", "secret"),
            ("X-Yours", "2"),
        ];
        let head = head(&headers, "/a?b", "h:1").unwrap();
        assert_eq!(head.uri().to_string(), "https://h:1/a?b");
        let mut fields: Vec<_> =
            head.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [("authorization", "secret"), ("content-length", "3"), ("te", "trailers"), ("x-yours", "2")]
        );
        assert!(head.headers()["authorization"].is_sensitive());
    }

    #[test]
    fn targets_and_hosts() {
        assert_eq!(head(&[], "*", "h").unwrap().uri().path(), "*");
        for (target, authority) in [("/a#b", "h"), ("", "h"), ("/", ""), ("/", "a b"), ("/", "u@h")] {
            assert!(head(&[], target, authority).is_err(), "{target:?} {authority:?}");
        }
    }
}
