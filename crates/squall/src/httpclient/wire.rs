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
const USER_AGENT: &str = concat!("User-Agent: squall/", env!("CARGO_PKG_VERSION"), "\r\n");

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
    /// The proxy wants the whole URL.
    pub(super) absolute: bool,
    pub(super) expect_continue: bool,
    /// Told of each interim response but 101.
    pub(super) on_interim: Option<&'a dyn Fn(&ResponseHead)>,
    /// How long the server may take nothing of a body that is sent piece by piece.
    pub(super) send_timeout: Option<Duration>,
}

impl Outgoing<'_> {
    /// Request line and headers. The fragment of a URL is not sent, nor its user.
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
        let given = self.headers.get_bytes("Host");
        head_writer::field(&mut head, "Host", given.unwrap_or_else(|| authority(self.url).as_bytes()));
        let given = |name: &str| self.headers.contains(name);
        if !self.headers.is_empty() {
            self.headers.write_some(&mut head, |name| !self.is_replaced(name));
        }
        if self.verbatim.is_none() && !given("User-Agent") && !self.extra.contains("User-Agent") {
            head.extend_from_slice(USER_AGENT.as_bytes());
        }
        if !self.extra.is_empty() {
            self.extra.write_some(&mut head, |name| !given(name));
        }
        if let Some(codings) = self.accept_encoding
            && !given("Accept-Encoding")
        {
            head_writer::field(&mut head, "Accept-Encoding", codings);
        }
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                if *self.method == Method::POST
                    && matches!(self.body, Body::Bytes(_))
                    && self.verbatim.is_none()
                    && !given("Content-Type")
                {
                    head_writer::field(&mut head, "Content-Type", "application/x-www-form-urlencoded");
                }
                head_writer::field(&mut head, "Content-Length", itoa::Buffer::new().format(length));
            }
            Framing::Chunked => head_writer::field(&mut head, "Transfer-Encoding", "chunked"),
        }
        if self.expect_continue {
            head_writer::field(&mut head, "Expect", "100-continue");
        }
        head_writer::end(&mut head);
        Ok(head)
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
        let target = self.verbatim.unwrap_or_else(|| request_target(self.url));
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
        };
        match outgoing.encode() {
            Ok(head) => String::from_utf8(head).unwrap().replace(USER_AGENT, "").replace("\r\n", "|"),
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
