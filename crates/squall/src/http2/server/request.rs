//! The fields of a head as a request, or what is wrong with them (RFC 9113 §8).

use http::{Method, Version};

use crate::http1::{ParseError, head};
use crate::http2::hpack::Field;
use crate::httputil::{BodyKind, HttpHeaders, RequestHead, host, is_token, length, ows};

/// What HTTP/2 counts for each field beside its text (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;
/// A list of fields this many times as long as is allowed ends its connection; a shorter one is answered.
const FAR_TOO_LARGE: usize = 4;

/// What comes of a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Request(BodyKind),
    /// A stream that carries another protocol, WebSocket's (RFC 8441 §4).
    Tunnel,
    /// A protocol that there is not (RFC 9220 §3).
    UnknownProtocol,
    /// Too many fields, or too long ones. The method says whether an answer has a body.
    Refused(ParseError, Method),
    /// The stream is malformed (§8.1.1).
    Malformed(&'static str),
    /// The connection ends for it.
    FarTooLarge,
}

/// How much there may be of fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) size: usize,
    pub(super) count: usize,
}

/// Pseudo-header fields that came (§8.3.1).
const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const AUTHORITY: u8 = 4;
const PATH: u8 = 8;
const PROTOCOL: u8 = 16;

/// Text of a head that has no place there yet. Kept from one to the next, so that it costs no allocation.
#[derive(Default)]
pub(super) struct Scratch {
    authority: Vec<u8>,
    /// The crumbs of Cookie, joined (§8.2.3).
    cookie: Vec<u8>,
}

impl Scratch {
    /// Larger memory is not kept.
    const KEPT: usize = 256;

    fn clear(&mut self) {
        for text in [&mut self.authority, &mut self.cookie] {
            text.clear();
            text.shrink_to(Self::KEPT);
        }
    }

    /// Gives back what is kept.
    pub(super) fn shrink(&mut self) {
        *self = Self::default();
    }
}

/// Takes the fields of a head one by one.
///
/// Host is the `:authority` (§8.3.1). A body whose length is not told is announced as chunked, as HTTP/1.1 would, by which
/// handlers know that there is one.
pub(super) struct HeadReader<'a> {
    head: &'a mut RequestHead,
    scratch: &'a mut Scratch,
    limits: Limits,
    size: usize,
    count: usize,
    pseudo: u8,
    is_websocket: bool,
    hosts: usize,
    length: Option<u64>,
    wrong: Option<&'static str>,
}

impl<'a> HeadReader<'a> {
    pub(super) fn new(head: &'a mut RequestHead, scratch: &'a mut Scratch, limits: Limits) -> Self {
        head.headers.clear();
        head.target.clear();
        head.version = Version::HTTP_2;
        scratch.clear();
        Self {
            head,
            scratch,
            limits,
            size: 0,
            count: 0,
            pseudo: 0,
            is_websocket: false,
            hosts: 0,
            length: None,
            wrong: None,
        }
    }

    pub(super) fn field(&mut self, Field { name, value }: Field<'_>) {
        self.size = self.size.saturating_add(name.len() + value.len() + FIELD_OVERHEAD);
        if self.size > self.limits.size || self.wrong.is_some() {
            return;
        }
        let taken = match name {
            [b':', pseudo @ ..] if self.count == 0 => self.pseudo_field(pseudo, value),
            [b':', ..] => Err("pseudo-header field behind others"),
            _ => self.regular_field(name, value),
        };
        self.wrong = taken.err();
    }

    fn pseudo_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let bit = match name {
            b"method" => {
                self.head.method = Method::from_bytes(value).map_err(|_| ":method")?;
                METHOD
            }
            b"scheme" => {
                if !is_scheme(value) {
                    return Err(":scheme");
                }
                SCHEME
            }
            b"authority" => {
                self.scratch.authority.extend_from_slice(value);
                AUTHORITY
            }
            b"path" => {
                let path = std::str::from_utf8(value).map_err(|_| ":path")?;
                self.head.target.push_str(path);
                PATH
            }
            b"protocol" => {
                self.is_websocket = value == b"websocket";
                PROTOCOL
            }
            _ => return Err("unknown pseudo-header field"),
        };
        if self.pseudo & bit != 0 {
            return Err("pseudo-header field twice");
        }
        self.pseudo |= bit;
        Ok(())
    }

    fn regular_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        self.count += 1;
        if self.count > self.limits.count {
            return Ok(());
        }
        let name = checked(name, value)?;
        match name {
            "content-length" => return self.content_length(value),
            "cookie" => {
                if !crate::httputil::is_field_value(value) {
                    return Err("header field");
                }
                if !self.scratch.cookie.is_empty() {
                    self.scratch.cookie.extend_from_slice(b"; ");
                }
                self.scratch.cookie.extend_from_slice(value);
                return Ok(());
            }
            "host" => self.hosts += 1,
            "te" if !value.eq_ignore_ascii_case(b"trailers") => return Err("TE"),
            _ => {}
        }
        self.head.headers.add(name, value).map_err(|_| "header field")
    }

    /// The same number, however often (RFC 9110 §8.6).
    fn content_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        for digits in value.split(|&byte| byte == b',') {
            let told = length::parse(ows::trim_bytes(digits)).ok_or("Content-Length")?;
            if self.length.replace(told).is_some_and(|former| former != told) {
                return Err("Content-Length");
            }
        }
        Ok(())
    }

    /// All fields were there, and what ends the stream with them.
    pub(super) fn finish(mut self, is_empty: bool) -> Asked {
        if self.size > self.limits.size.saturating_mul(FAR_TOO_LARGE) {
            return Asked::FarTooLarge;
        }
        if let Some(wrong) = self.wrong {
            return Asked::Malformed(wrong);
        }
        let too_much = if self.size > self.limits.size {
            Some(ParseError::HeadTooLarge)
        } else {
            (self.count > self.limits.count).then_some(ParseError::TooManyHeaders)
        };
        if let Some(error) = too_much {
            let method = if self.pseudo & METHOD == 0 { Method::GET } else { self.head.method.clone() };
            return Asked::Refused(error, method);
        }
        match self.request(is_empty) {
            Ok(asked) => asked,
            Err(wrong) => Asked::Malformed(wrong),
        }
    }

    fn request(&mut self, is_empty: bool) -> Result<Asked, &'static str> {
        let is_tunnel = self.pseudo & PROTOCOL != 0;
        let is_connect = self.head.method == Method::CONNECT && !is_tunnel;
        self.check_pseudo(is_tunnel, is_connect)?;
        if !self.scratch.cookie.is_empty() {
            self.head.headers.add("Cookie", &self.scratch.cookie[..]).map_err(|_| "header field")?;
        }
        self.set_host()?;
        if is_connect {
            let authority = std::str::from_utf8(&self.scratch.authority).map_err(|_| ":authority")?;
            self.head.target.push_str(authority);
        }
        // As in HTTP/1, but that there is no absolute form (RFC 9113 §8.3.1).
        let is_path = self.head.target.starts_with('/') || self.head.target == "*" || is_connect;
        if !is_path || head::check_target(&self.head.target, &self.head.method).is_err() {
            return Err(":path");
        }
        if is_tunnel {
            return Ok(if self.is_websocket { Asked::Tunnel } else { Asked::UnknownProtocol });
        }
        if is_empty && self.length.is_some_and(|length| length > 0) {
            return Err("Content-Length");
        }
        let headers = &mut self.head.headers;
        // What follows a CONNECT is the tunnel's, and no body that an answer has to wait for (RFC 9113 §8.5).
        Ok(Asked::Request(match self.length {
            Some(length) => {
                headers.push_trusted("Content-Length", itoa::Buffer::new().format(length));
                if is_empty || is_connect { BodyKind::None } else { BodyKind::Length(length) }
            }
            None if is_empty || is_connect => BodyKind::None,
            None => {
                headers.push_trusted("Transfer-Encoding", "chunked");
                BodyKind::Unknown
            }
        }))
    }

    /// What there must be and must not (§8.3.1, §8.5, RFC 8441 §4).
    fn check_pseudo(&self, is_tunnel: bool, is_connect: bool) -> Result<(), &'static str> {
        let has = |bits| self.pseudo & bits == bits;
        if !has(METHOD) {
            return Err("no :method");
        }
        if is_tunnel && (self.head.method != Method::CONNECT || !has(AUTHORITY)) {
            return Err(":protocol");
        }
        if is_connect {
            let none = self.pseudo & (SCHEME | PATH) == 0;
            // There is no tunnel to nowhere.
            return if none && !self.scratch.authority.is_empty() { Ok(()) } else { Err("CONNECT") };
        }
        if has(SCHEME | PATH) { Ok(()) } else { Err("no :scheme, or no :path") }
    }

    /// One host, valid, which is without anything about a user (§8.3.1), and not two different ones.
    fn set_host(&mut self) -> Result<(), &'static str> {
        const INVALID: &str = "host";
        let headers = &mut self.head.headers;
        if self.hosts > 1 {
            return Err(INVALID);
        }
        if self.pseudo & AUTHORITY != 0 {
            let authority = &self.scratch.authority[..];
            let Some(text) = std::str::from_utf8(authority).ok().filter(|_| host::is_valid(authority)) else {
                return Err(INVALID);
            };
            if self.hosts == 0 {
                // Of printable ASCII, as it is valid.
                headers.push_trusted("Host", text);
                return Ok(());
            }
            if !headers.get_bytes("Host").is_some_and(|host| host.eq_ignore_ascii_case(authority)) {
                return Err(INVALID);
            }
            return headers.set("Host", text).map_err(|_| INVALID);
        }
        headers.get_bytes("Host").is_some_and(host::is_valid).then_some(()).ok_or(INVALID)
    }
}

/// The name of a field that may be in a message of HTTP/2 (§8.2). Its value is looked at where it is kept.
fn checked<'a>(name: &'a [u8], value: &[u8]) -> Result<&'a str, &'static str> {
    if name.iter().any(u8::is_ascii_uppercase) {
        return Err("upper case in a field name");
    }
    let name = std::str::from_utf8(name).ok().filter(|name| is_token(name)).ok_or("field name")?;
    // What forwards it in HTTP/1 would say something else than what was checked here (§8.2.1).
    if is_padded(value) {
        return Err("white space around a field value");
    }
    match name {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
            Err("field of the connection")
        }
        _ => Ok(name),
    }
}

fn is_padded(value: &[u8]) -> bool {
    matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

/// RFC 3986 §3.1.
fn is_scheme(value: &[u8]) -> bool {
    matches!(value, b"http" | b"https")
        || value.first().is_some_and(u8::is_ascii_alphabetic)
            && value.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Takes the fields behind a body one by one.
pub(super) struct TrailersReader {
    fields: HttpHeaders,
    limits: Limits,
    size: usize,
    is_refused: bool,
    wrong: Option<&'static str>,
}

impl TrailersReader {
    pub(super) fn new(limits: Limits) -> Self {
        Self { fields: HttpHeaders::new(), limits, size: 0, is_refused: false, wrong: None }
    }

    pub(super) fn field(&mut self, Field { name, value }: Field<'_>) {
        self.size = self.size.saturating_add(name.len() + value.len() + FIELD_OVERHEAD);
        if matches!(name, [b':', ..]) {
            self.wrong = Some("pseudo-header field in trailers");
        }
        self.is_refused |= self.size > self.limits.size || self.fields.len() >= self.limits.count;
        if self.is_refused || self.wrong.is_some() {
            return;
        }
        if is_padded(value) {
            self.is_refused = true;
            return;
        }
        let added = checked(name, value)
            .and_then(|name| self.fields.add(name, value).map_err(|_| "header field in trailers"));
        self.wrong = added.err();
    }

    /// The fields; nothing of those that are too many. What is wrong with them is the stream's matter.
    pub(super) fn finish(self) -> Result<Result<HttpHeaders, ()>, &'static str> {
        match self.wrong {
            Some(wrong) => Err(wrong),
            None if self.is_refused => Ok(Err(())),
            None => Ok(Ok(self.fields)),
        }
    }
}
