//! Heads between HTTP/2 and squall's messages, which are the same as in HTTP/1.1.

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Version, header};

use super::last_head;
use crate::http1::head;
use crate::httputil::{BodyKind, HttpHeaders, RequestHead, field_map, host, ows};

/// Why a head is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is malformed (RFC 9113 §8.1.1).
    Malformed(&'static str),
    TooManyFields,
}

/// The head as HTTP/1.1 would have brought it.
///
/// Host is the `:authority` (RFC 9113 §8.3.1), the crumbs of Cookie are one field (§8.2.3). A body whose length is not
/// told is announced as chunked, by which handlers know that there is one.
pub(super) fn request_head(
    parts: &http::request::Parts,
    is_empty: bool,
    max_fields: usize,
    head: &mut RequestHead,
) -> Result<BodyKind, Refusal> {
    let fields = &parts.headers;
    if fields.len() > max_fields {
        return Err(Refusal::TooManyFields);
    }
    if fields.values().any(|value| is_padded(value.as_bytes())) {
        return Err(Refusal::Malformed("white space around a field value"));
    }
    let lengths = fields.get_all(header::CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let length = field_map::content_length(lengths).map_err(|_| Refusal::Malformed("Content-Length"))?;
    let headers = &mut head.headers;
    headers.clear();
    // The fields, Host and the framing.
    headers.reserve(fields.len() + 2, 128);
    let framed = match length {
        Some(length) => headers.add("Content-Length", length),
        None if is_empty => Ok(()),
        None => headers.add("Transfer-Encoding", "chunked"),
    };
    framed.and_then(|()| add_fields(headers, fields)).map_err(|_| Refusal::Malformed("header field"))?;
    set_host(headers, parts.uri.authority())?;
    let target = match (parts.uri.path_and_query(), parts.uri.authority()) {
        (Some(target), _) => target.as_str(),
        (None, Some(authority)) if parts.method == Method::CONNECT => authority.as_str(),
        (None, _) => return Err(Refusal::Malformed(":path")),
    };
    check_target(target, &parts.method)?;
    head.target.clear();
    head.target.push_str(target);
    head.method.clone_from(&parts.method);
    head.version = Version::HTTP_2;
    Ok(match length {
        _ if is_empty => BodyKind::None,
        Some(length) => BodyKind::Length(length),
        None => BodyKind::Unknown,
    })
}

/// Says of a request for a tunnel what HTTP/1.1 would have said.
pub(super) fn ask_for_websocket(headers: &mut HttpHeaders) {
    headers.remove("Content-Length");
    for (name, value) in [("Connection", "Upgrade"), ("Upgrade", "websocket")] {
        // Both are fields.
        let _ = headers.set(name, value);
    }
}

/// Whether white space is part of a value's ends, which HTTP/1 would have taken off: what forwards it there would say
/// something else than what was checked here (RFC 9113 §8.2.1).
pub(super) fn is_padded(value: &[u8]) -> bool {
    ows::trim_bytes(value).len() != value.len()
}

/// As in HTTP/1, but that there is no absolute form (RFC 9113 §8.3.1).
fn check_target(target: &str, method: &Method) -> Result<(), Refusal> {
    let is_path = target.starts_with('/') || target == "*" || *method == Method::CONNECT;
    let known = is_path && head::check_target(target, method).is_ok();
    known.then_some(()).ok_or(Refusal::Malformed(":path"))
}

/// The fields behind a body; `None` when they are malformed or too many.
pub(super) fn trailers(fields: &HeaderMap, most: usize) -> Option<HttpHeaders> {
    if fields.len() > most || fields.values().any(|value| is_padded(value.as_bytes())) {
        return None;
    }
    field_map::from_trailers(fields).ok()
}

fn add_fields(headers: &mut HttpHeaders, fields: &HeaderMap) -> Result<(), crate::httputil::InvalidHeader> {
    field_map::add_request_fields(headers, fields)?;
    if headers.list_bytes("Cookie").nth(1).is_some() {
        let crumbs: Vec<&[u8]> = fields.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        headers.set("Cookie", &crumbs.join(&b"; "[..])[..])?;
    }
    Ok(())
}

/// One host, valid, which is without anything about a user (RFC 9113 §8.3.1), and not two different ones.
fn set_host(headers: &mut HttpHeaders, authority: Option<&Authority>) -> Result<(), Refusal> {
    let invalid = Refusal::Malformed("host");
    // Before one is set in the place of all.
    if headers.list_bytes("Host").count() > 1 {
        return Err(invalid);
    }
    if let Some(authority) = authority {
        let authority = authority.as_str();
        match headers.get_bytes("Host") {
            None if host::is_valid(authority.as_bytes()) => {
                // Of printable ASCII, as it is valid.
                headers.push_trusted("Host", authority);
                return Ok(());
            }
            None => return Err(invalid),
            Some(host) if host.eq_ignore_ascii_case(authority.as_bytes()) => {
                headers.set("Host", authority).map_err(|_| invalid)?;
            }
            Some(_) => return Err(invalid),
        }
    }
    headers.get_bytes("Host").is_some_and(host::is_valid).then_some(()).ok_or(invalid)
}

/// The head of a response, whose length is told only if there is one.
pub(super) fn response_head(
    status: u16,
    headers: &HttpHeaders,
    length: Option<u64>,
) -> Option<http::Response<()>> {
    let mut head = http::Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(status).ok()?;
    *head.headers_mut() = last_head::to_map(headers, length).ok()?;
    Some(head)
}

/// The text that explains a refusal, and its head.
pub(super) fn refusal(status: u16, text: &str, is_head: bool) -> Option<(http::Response<()>, Bytes)> {
    let body = format!("{text}\n");
    let mut headers = HttpHeaders::new();
    headers.set("Content-Type", "text/plain").ok()?;
    let head = response_head(status, &headers, Some(body.len() as u64))?;
    Some((head, if is_head { Bytes::new() } else { body.into() }))
}
