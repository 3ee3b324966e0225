//! `multipart/form-data` bodies (RFC 7578), written.

use bytes::Bytes;

/// A form with files, for [`HttpRequest::multipart`](super::HttpRequest::multipart). It is built in memory; a large
/// file is better sent with a [producer](super::HttpRequest::body_producer).
#[derive(Debug, Clone, Default)]
pub struct MultipartForm {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    name: String,
    filename: Option<String>,
    content_type: Option<String>,
    body: Bytes,
}

impl MultipartForm {
    /// A form without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text field.
    #[must_use]
    pub fn text(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let body = Bytes::from(value.into());
        self.parts.push(Part { name: name.into(), filename: None, content_type: None, body });
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn file(
        mut self,
        name: impl Into<String>,
        filename: impl Into<String>,
        content_type: impl Into<String>,
        body: impl Into<Bytes>,
    ) -> Self {
        self.parts.push(Part {
            name: name.into(),
            filename: Some(filename.into()),
            content_type: Some(content_type.into()),
            body: body.into(),
        });
        self
    }

    /// The Content-Type and the body.
    pub(crate) fn encode(&self) -> (String, Bytes) {
        let mut boundary = String::from("squall-boundary");
        // A boundary must not occur in what it separates.
        while self.parts.iter().any(|part| memchr::memmem::find(&part.body, boundary.as_bytes()).is_some()) {
            boundary = format!("squall-{:032x}", super::random());
        }
        let mut body = Vec::new();
        for part in &self.parts {
            body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            let mut disposition = format!("Content-Disposition: form-data; name=\"{}\"", escape(&part.name));
            if let Some(filename) = &part.filename {
                disposition += &format!("; filename=\"{}\"", escape(filename));
            }
            body.extend_from_slice(disposition.as_bytes());
            if let Some(content_type) = &part.content_type {
                let clean: String = content_type.chars().filter(|c| !c.is_control()).collect();
                body.extend_from_slice(format!("\r\nContent-Type: {clean}").as_bytes());
            }
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(&part.body);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={boundary}"), body.into())
    }
}

/// As browsers do it (HTML, "multipart/form-data encoding algorithm").
fn escape(name: &str) -> String {
    name.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form() {
        let form = MultipartForm::new().text("a\"b", "1").file(
            "f",
            "x\r\ny.txt",
            "text/plain\r\nX-Evil: 1",
            &b"squall-boundary?"[..],
        );
        let (content_type, body) = form.encode();
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        assert_ne!(boundary, "squall-boundary");
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"a%22b\"\r\n\r\n1\r\n--{boundary}\r\n\
             Content-Disposition: form-data; name=\"f\"; filename=\"x%0D%0Ay.txt\"\r\n\
             Content-Type: text/plainX-Evil: 1\r\n\r\nsquall-boundary?\r\n--{boundary}--\r\n"
        );
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    }
}
