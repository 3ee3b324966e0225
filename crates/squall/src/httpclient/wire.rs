//! What a request looks like on the wire, before its body. Pure.

use std::time::Duration;

use http::Method;
use url::{Position, Url};

use super::error::HttpClientError;
use super::request::Body;
use crate::http1::head::parse_length;
use crate::http1::head_writer;
use crate::http1::response::ResponseHead;
use crate::httputil::HttpHeaders;

/// What the client calls itself.
const USER_AGENT: &str = concat!("squall/", env!("CARGO_PKG_VERSION"));

/// A request, but for the bytes of its body.
pub(super) struct Outgoing<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    /// In place of the URL's path and query; and then no header is added that the server need not have.
    pub(super) verbatim: Option<&'a str>,
    /// The caller's headers.
    pub(super) headers: &'a HttpHeaders,
    /// Those that come from elsewhere: user agent, cookies, credentials. The caller's go before them.
    pub(super) extra: &'a HttpHeaders,
    pub(super) accept_encoding: Option<&'static str>,
    pub(super) body: &'a Body,
    /// The proxy wants the whole URL. HTTP/1.1 only.
    pub(super) absolute: bool,
    pub(super) expect_continue: bool,
    /// Told of each interim response but 101.
    pub(super) on_interim: Option<&'a dyn Fn(&ResponseHead)>,
    /// How long the server may take nothing of a body that is sent piece by piece.
    pub(super) send_timeout: Option<Duration>,
    /// It is a WebSocket's handshake, which is another one over HTTP/2.
    #[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "as with the feature"))]
    pub(super) websocket: bool,
}

impl Outgoing<'_> {
    /// Request line and headers of HTTP/1.1. The fragment of a URL is not sent, nor its user.
    ///
    /// What frames the body is written here and nowhere else: a `Transfer-Encoding` of the caller's is left out, its
    /// `Content-Length` only says how much a producer will make.
    ///
    /// # Errors
    /// When the caller's `Content-Length` is not one number, or there is no body of that length.
    pub(super) fn encode(&self) -> Result<Vec<u8>, HttpClientError> {
        let framing = self.framing()?;
        let mut head = Vec::with_capacity(512);
        self.request_line(&mut head);
        head.one("Host", self.host());
        self.fields(framing, &mut head);
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                head.one("Content-Length", itoa::Buffer::new().format(length).as_bytes());
            }
            Framing::Chunked => head.one("Transfer-Encoding", b"chunked"),
        }
        if self.expect_continue {
            head.one("Expect", b"100-continue");
        }
        head_writer::end(&mut head);
        Ok(head)
    }

    /// The fields in which HTTP/1.1 and HTTP/2 agree, and the length of the body if it is known.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    #[cfg(feature = "http2")]
    pub(super) fn common_fields(&self) -> Result<(HttpHeaders, Option<u64>), HttpClientError> {
        let framing = self.framing()?;
        let mut fields = HttpHeaders::new();
        self.fields(framing, &mut fields);
        if self.expect_continue {
            fields.one("Expect", b"100-continue");
        }
        let length = match framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked => None,
        };
        Ok((fields, length))
    }

    /// Whom the request is for.
    pub(super) fn host(&self) -> &[u8] {
        self.headers.get_bytes("Host").unwrap_or_else(|| authority(self.url).as_bytes())
    }

    /// Path and query, or what is in their place.
    pub(super) fn target(&self) -> &str {
        self.verbatim.unwrap_or_else(|| request_target(self.url))
    }

    /// All fields but those that say where the request goes and where it ends.
    fn fields(&self, framing: Framing, out: &mut impl Fields) {
        let given = |name: &str| self.headers.contains(name);
        if !self.headers.is_empty() {
            out.some(self.headers, |name| !self.is_replaced(name));
        }
        if self.verbatim.is_none() && !given("User-Agent") && !self.extra.contains("User-Agent") {
            out.one("User-Agent", USER_AGENT.as_bytes());
        }
        if !self.extra.is_empty() {
            out.some(self.extra, |name| !given(name));
        }
        if let Some(codings) = self.accept_encoding
            && !given("Accept-Encoding")
        {
            out.one("Accept-Encoding", codings.as_bytes());
        }
        if matches!(framing, Framing::Length(_))
            && *self.method == Method::POST
            && matches!(self.body, Body::Bytes(_))
            && self.verbatim.is_none()
            && !given("Content-Type")
        {
            out.one("Content-Type", b"application/x-www-form-urlencoded");
        }
    }

    /// How many bytes a producer has announced.
    ///
    /// # Errors
    /// When that is not one number.
    pub(super) fn announced_length(&self) -> Result<Option<u64>, HttpClientError> {
        let mut lines = self.headers.list_bytes("Content-Length");
        let Some(length) = lines.next() else { return Ok(None) };
        match (parse_length(length), lines.next()) {
            (Ok(length), None) => Ok(Some(length)),
            _ => Err(HttpClientError::Request("Content-Length is not one number".to_owned())),
        }
    }

    fn request_line(&self, head: &mut Vec<u8>) {
        let target = self.target();
        if self.absolute {
            let parts = [self.url.scheme(), "://", authority(self.url), target];
            head_writer::request_line(head, self.method, &parts);
        } else {
            head_writer::request_line(head, self.method, &[target]);
        }
    }

    fn framing(&self) -> Result<Framing, HttpClientError> {
        Ok(match self.body {
            Body::Bytes(body) => Framing::Length(body.len() as u64),
            Body::Producer(_) => self.announced_length()?.map_or(Framing::Chunked, Framing::Length),
            Body::None => match self.announced_length()? {
                Some(0) => Framing::Length(0),
                Some(_) => {
                    return Err(HttpClientError::Request("a Content-Length without a body".to_owned()));
                }
                // A POST without a body still says so (RFC 9110 §8.6).
                None if matches!(*self.method, Method::POST | Method::PUT | Method::PATCH) => {
                    Framing::Length(0)
                }
                None => Framing::None,
            },
        })
    }

    /// Whether a header of the caller's, named in Title-Case, gives way to the client's.
    fn is_replaced(&self, name: &str) -> bool {
        matches!(name, "Host" | "Content-Length" | "Transfer-Encoding")
            || (self.expect_continue && name == "Expect")
    }
}

#[derive(Clone, Copy)]
enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What fields are written into.
trait Fields {
    fn one(&mut self, name: &'static str, value: &[u8]);
    fn some(&mut self, fields: &HttpHeaders, wanted: impl Fn(&str) -> bool);
}

/// The lines of HTTP/1.1.
impl Fields for Vec<u8> {
    fn one(&mut self, name: &'static str, value: &[u8]) {
        head_writer::field(self, name, value);
    }

    fn some(&mut self, fields: &HttpHeaders, wanted: impl Fn(&str) -> bool) {
        fields.write_some(self, wanted);
    }
}

#[cfg(feature = "http2")]
impl Fields for HttpHeaders {
    /// What is no value is left out; all of these were made here or were values before.
    fn one(&mut self, name: &'static str, value: &[u8]) {
        let _ = self.add(name, value);
    }

    fn some(&mut self, fields: &HttpHeaders, wanted: impl Fn(&str) -> bool) {
        for (name, value) in fields.iter_bytes().filter(|(name, _)| wanted(name)) {
            let _ = self.add(name, value);
        }
    }
}

/// Host and port as `Host` has them: no port where it is the scheme's.
pub(super) fn authority(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// Path and query; of a URL with a host neither is ever empty.
pub(super) fn request_target(url: &Url) -> &str {
    &url[Position::BeforePath..Position::AfterQuery]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(method: &str, url: &str, body: &Body, headers: &[(&str, &str)], expect: bool) -> String {
        let outgoing = Outgoing {
            method: &Method::from_bytes(method.as_bytes()).unwrap(),
            url: &url.parse().unwrap(),
            verbatim: None,
            headers: &headers.iter().copied().collect(),
            extra: &[("Cookie", "a=b"), ("Authorization", "Basic x")].into_iter().collect(),
            accept_encoding: Some("gzip"),
            body,
            absolute: false,
            expect_continue: expect,
            on_interim: None,
            send_timeout: None,
            websocket: false,
        };
        match outgoing.encode() {
            Ok(head) => String::from_utf8(head)
                .unwrap()
                .replace(&format!("User-Agent: {USER_AGENT}\r\n"), "")
                .replace("\r\n", "|"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn targets_and_hosts() {
        for (url, target, host) in [
            ("http://h", "/", "h"),
            ("http://u:p@h:80/a%20b?c#d", "/a%20b?c", "h"),
            ("http://h:81?x", "/?x", "h:81"),
            ("http://[::1]:81/", "/", "[::1]:81"),
            ("https://h:443/?", "/?", "h"),
        ] {
            let url: Url = url.parse().unwrap();
            assert_eq!((request_target(&url), authority(&url)), (target, host), "{url}");
        }
    }

    #[test]
    fn the_client_s_headers_and_the_caller_s() {
        let bytes = Body::Bytes("xy".into());
        let produced = Body::Producer(std::rc::Rc::new(|_| Box::pin(async { Ok(()) })));
        let not_one = "Content-Length is not one number".to_owned();
        let rest = "Cookie: a=b|Authorization: Basic x|Accept-Encoding: gzip|";
        for (method, body, headers, expect, expected) in [
            ("GET", &Body::None, vec![], false, format!("GET / HTTP/1.1|Host: h|{rest}|")),
            (
                "GET",
                &Body::None,
                vec![("host", "other"), ("Cookie", "own"), ("Accept-Encoding", "br"), ("X", "1"), ("X", "2")],
                false,
                "GET / HTTP/1.1|Host: other|Cookie: own|Accept-Encoding: br|X: 1|X: 2|Authorization: Basic x||".to_owned(),
            ),
            (
                "POST",
                &bytes,
                vec![("Content-Length", "9"), ("Transfer-Encoding", "chunked"), ("Expect", "x")],
                true,
                format!("POST / HTTP/1.1|Host: h|{rest}Content-Type: application/x-www-form-urlencoded|Content-Length: 2|Expect: 100-continue||"),
            ),
            ("PUT", &bytes, vec![], false, format!("PUT / HTTP/1.1|Host: h|{rest}Content-Length: 2||")),
            ("PUT", &Body::None, vec![], false, format!("PUT / HTTP/1.1|Host: h|{rest}Content-Length: 0||")),
            ("PUT", &produced, vec![], false, format!("PUT / HTTP/1.1|Host: h|{rest}Transfer-Encoding: chunked||")),
            (
                "PUT",
                &produced,
                vec![("Transfer-Encoding", "chunked"), ("Content-Length", "9")],
                false,
                format!("PUT / HTTP/1.1|Host: h|{rest}Content-Length: 9||"),
            ),
            ("PUT", &produced, vec![("Content-Length", "9, 9")], false, not_one.clone()),
            ("PUT", &Body::None, vec![("Content-Length", "+0")], false, not_one),
            ("POST", &Body::None, vec![("Content-Length", "9")], false, "a Content-Length without a body".to_owned()),
            ("GET", &Body::None, vec![("Transfer-Encoding", "chunked")], false, format!("GET / HTTP/1.1|Host: h|{rest}|")),
            ("GET", &Body::None, vec![("Content-Length", "0")], false, format!("GET / HTTP/1.1|Host: h|{rest}Content-Length: 0||")),
        ] {
            assert_eq!(encoded(method, "http://h/", body, &headers, expect), expected);
        }
    }
}
