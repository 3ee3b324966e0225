//! Reads one response, and refuses it when it is not exactly framed.

use std::{fmt, io};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::TestResponse;

/// Reads to the end of the response to `request`; the error is for the test's author.
pub(super) async fn read_response(
    stream: impl AsyncRead + Unpin,
    request: String,
    head_only: bool,
) -> Result<TestResponse, String> {
    let mut reader = ResponseReader { stream, buffer: Vec::new() };
    let (status, reason, headers) = loop {
        let head = reader.head().await?;
        // 101 is final: what follows is no HTTP. The other 1xx announce the response (RFC 9110, section 15.2).
        if head.0 == 101 || head.0 >= 200 {
            break head;
        }
    };
    let body = if head_only || status == 101 || status == 204 || status == 304 {
        Vec::new()
    } else {
        reader.body(&headers).await?
    };
    if status != 101 && !reader.buffer.is_empty() {
        let rest = String::from_utf8_lossy(&reader.buffer);
        return Err(format!("{} bytes follow the response: {rest:?}", reader.buffer.len()));
    }
    Ok(TestResponse { request, status, reason, headers, body })
}

struct ResponseReader<S> {
    stream: S,
    /// What has been received and not consumed.
    buffer: Vec<u8>,
}

impl<S: AsyncRead + Unpin> ResponseReader<S> {
    async fn head(&mut self) -> Result<(u16, String, HeaderMap), String> {
        let mut scanned = 0;
        let end = loop {
            // The end may straddle two reads.
            let from = self.buffer.len().min(scanned).saturating_sub(3);
            if let Some(at) = memchr::memmem::find(&self.buffer[from..], b"\r\n\r\n") {
                break from + at + 4;
            }
            scanned = self.buffer.len();
            if !self.fill().await? {
                let received = String::from_utf8_lossy(&self.buffer);
                return Err(format!("the connection was closed before a response, after {received:?}"));
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let problem = |what: &dyn fmt::Display| {
            format!("bad response: {what} in {:?}", head.escape_ascii().to_string())
        };
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut parsed = httparse::Response::new(&mut fields);
        let complete = parsed.parse(&head).map_err(|error| problem(&error))?;
        let (Some(status), httparse::Status::Complete(length)) = (parsed.code, complete) else {
            return Err(problem(&"incomplete head"));
        };
        if length != head.len() || parsed.version != Some(1) {
            return Err(problem(&"not an HTTP/1.1 head"));
        }
        let mut headers = HeaderMap::new();
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|error| problem(&error))?;
            let value = HeaderValue::from_bytes(field.value).map_err(|error| problem(&error))?;
            headers.append(name, value);
        }
        Ok((status, parsed.reason.unwrap_or_default().to_owned(), headers))
    }

    /// The rules of RFC 9112, section 6.3, with every ambiguity an error.
    async fn body(&mut self, headers: &HeaderMap) -> Result<Vec<u8>, String> {
        let lengths: Vec<&HeaderValue> = headers.get_all(header::CONTENT_LENGTH).iter().collect();
        let codings: Vec<&HeaderValue> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
        match (&lengths[..], &codings[..]) {
            ([], []) => {
                while self.fill().await? {}
                Ok(std::mem::take(&mut self.buffer))
            }
            ([length], []) => {
                let length = parse_number(length.as_bytes(), 10)
                    .ok_or_else(|| format!("bad response: Content-Length {length:?}"))?;
                self.take(length).await
            }
            ([], [coding]) if coding.as_bytes() == b"chunked" => self.chunks().await,
            _ => Err(format!(
                "bad response: ambiguous length: Content-Length {lengths:?}, Transfer-Encoding {codings:?}"
            )),
        }
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = line.split(|&byte| byte == b';').next().unwrap_or_default();
            let size = parse_number(size, 16)
                .ok_or_else(|| format!("bad response: chunk size {:?}", line.escape_ascii().to_string()))?;
            if size == 0 {
                break;
            }
            body.append(&mut self.take(size).await?);
            if !self.line().await?.is_empty() {
                return Err("bad response: a chunk is longer than its size".to_owned());
            }
        }
        // Trailers have no place in a test response; the empty line ends them.
        while !self.line().await?.is_empty() {}
        Ok(body)
    }

    /// A line without its CR LF.
    async fn line(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let mut line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                line.truncate(at);
                return Ok(line);
            }
            self.fill_or("within a chunked body").await?;
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.buffer.len() < length {
            let missing = length - self.buffer.len();
            self.fill_or(&format!("{missing} bytes before the end of the body")).await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn fill_or(&mut self, place: &str) -> Result<(), String> {
        if self.fill().await? { Ok(()) } else { Err(format!("the connection was closed {place}")) }
    }

    /// Receives more; `false` at the end of the stream.
    async fn fill(&mut self) -> Result<bool, String> {
        let received: io::Result<usize> = self.stream.read_buf(&mut self.buffer).await;
        received.map(|count| count > 0).map_err(|error| format!("cannot read the response: {error}"))
    }
}

/// Digits only: neither sign nor space, which `parse` would let pass or which a proxy might read differently.
fn parse_number(digits: &[u8], radix: u32) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok()?;
    let valid = text.chars().all(|c| c.is_digit(radix));
    if valid { usize::from_str_radix(text, radix).ok() } else { None }
}
