//! What the test client gets.

use std::fmt;

use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct TestResponse {
    /// Method and target, for the messages of failed assertions.
    pub(super) request: String,
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl TestResponse {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, as sent.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first value of a header; `None` also when it is not visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    ///
    /// # Panics
    ///
    /// When it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        match std::str::from_utf8(&self.body) {
            Ok(text) => text,
            Err(error) => panic!("{self}\nthe body is not UTF-8: {error}"),
        }
    }

    /// The body, parsed as JSON.
    ///
    /// # Panics
    ///
    /// When it is not JSON, or not of the shape of `T`.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{self}\nthe body is not the expected JSON: {error}"),
        }
    }

    /// Asserts the status code.
    ///
    /// # Panics
    ///
    /// When it is another.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert!(self.status == status, "expected status {status}\n{self}");
        self
    }

    /// Asserts the whole body.
    ///
    /// # Panics
    ///
    /// When it is another, or not UTF-8.
    #[track_caller]
    pub fn assert_text(&self, text: &str) -> &Self {
        assert!(self.text() == text, "expected the body {text:?}\n{self}");
        self
    }

    /// Asserts that the body contains a text.
    ///
    /// # Panics
    ///
    /// When it does not, or is not UTF-8.
    #[track_caller]
    pub fn assert_text_contains(&self, text: &str) -> &Self {
        assert!(self.text().contains(text), "expected {text:?} in the body\n{self}");
        self
    }

    /// Asserts that a header is there once, with this value.
    ///
    /// # Panics
    ///
    /// When it is missing, repeated, or has another value.
    #[track_caller]
    pub fn assert_header(&self, name: &str, value: &str) -> &Self {
        let found: Vec<&HeaderValue> = self.headers.get_all(name).iter().collect();
        assert!(found == [value], "expected the header {name}: {value}, found {found:?}\n{self}");
        self
    }

    /// Asserts a redirect (301, 302, 303, 307 or 308) to this `Location`.
    ///
    /// # Panics
    ///
    /// When the status or the location is another.
    #[track_caller]
    pub fn assert_redirect(&self, location: &str) -> &Self {
        let redirect = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        assert!(redirect, "expected a redirect to {location}\n{self}");
        self.assert_header("Location", location)
    }

    /// Asserts that the body is JSON and equals this value; the order of keys and spaces do not matter.
    ///
    /// # Panics
    ///
    /// When the body is not JSON, or another value.
    #[track_caller]
    pub fn assert_json(&self, expected: impl Serialize) -> &Self {
        let expected = match serde_json::to_value(expected) {
            Ok(value) => value,
            Err(error) => panic!("the expected value is not JSON: {error}"),
        };
        let found: serde_json::Value = self.json();
        assert!(found == expected, "expected the JSON {expected}\n{self}");
        self
    }
}

/// The response as it was received, its body cut at 2,000 bytes.
impl fmt::Display for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 2000;
        writeln!(f, "the response to {} was:\n{} {}", self.request, self.status, self.reason)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        let shown = &self.body[..self.body.len().min(SHOWN)];
        write!(f, "\n{}", String::from_utf8_lossy(shown))?;
        if self.body.len() > SHOWN { write!(f, ".. ({} bytes)", self.body.len()) } else { Ok(()) }
    }
}
