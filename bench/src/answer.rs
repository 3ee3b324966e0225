//! Checks the bytes a server sends: every answer must be a 200 with the expected body.

use memchr::memmem;

use crate::Result;

/// The body that every answer must have.
#[derive(Clone, Copy)]
pub struct Expected(pub &'static [u8]);

pub const HELLO: Expected = Expected(b"Hello world!");

/// Remembers the form of the last answer that was parsed strictly, so that its like is recognised at little cost.
pub struct Checker {
    expected: Expected,
    /// Length of the whole answer and what follows its head (the body with its framing).
    known: Option<(usize, Vec<u8>)>,
}

impl Checker {
    pub fn new(expected: Expected) -> Self {
        Self { expected, known: None }
    }

    /// The length of the answer at the start of `bytes`, or `None` while it is incomplete.
    ///
    /// # Errors
    /// When the bytes are no answer, or not the expected one.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        if let Some((length, tail)) = &self.known
            && let Some(answer) = bytes.get(..*length)
            && answer.starts_with(b"HTTP/1.1 200 ")
            && answer.ends_with(tail)
        {
            return Ok(Some(*length));
        }
        let Some((head, length)) = parse(bytes, self.expected)? else { return Ok(None) };
        self.known = Some((length, bytes[head..length].to_vec()));
        Ok(Some(length))
    }
}

/// The lengths of the head and of the whole first answer.
fn parse(bytes: &[u8], expected: Expected) -> Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    if response.code != Some(200) {
        return Err(format!("status {:?} instead of 200", response.code).into());
    }
    let values = |name: &str| {
        let named = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value).collect::<Vec<_>>()
    };
    let (length, body) = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([length], []) => {
            let length: usize = str::from_utf8(length)?.parse()?;
            let Some(body) = bytes[head..].get(..length) else { return Ok(None) };
            (head + length, body.to_vec())
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => {
            let Some((length, body)) = dechunk(&bytes[head..])? else { return Ok(None) };
            (head + length, body)
        }
        _ => return Err("the answer's framing is neither one Content-Length nor chunked".into()),
    };
    if body != expected.0 {
        return Err(format!("the body is {:?}", body.escape_ascii().to_string()).into());
    }
    Ok(Some((head, length)))
}

/// The length of the chunked body at the start of `bytes`, and what it carries; no trailers, no extensions.
fn dechunk(bytes: &[u8]) -> Result<Option<(usize, Vec<u8>)>> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(digits) = memmem::find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let size = usize::from_str_radix(str::from_utf8(&bytes[at..at + digits])?, 16)?;
        let start = at + digits + 2;
        let end = start.checked_add(size).ok_or("a chunk larger than memory")?;
        let Some(chunk) = bytes.get(start..end + 2) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk does not end with CRLF".into());
        }
        body.extend_from_slice(&chunk[..size]);
        at = end + 2;
        if size == 0 {
            return Ok(Some((at, body)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello world!";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n7\r\n world!\r\n0\r\n\r\n";

    #[test]
    fn accepts_answers_one_after_the_other() {
        for answer in [GOOD, CHUNKED] {
            let mut checker = Checker::new(HELLO);
            let pair = [answer, answer].concat();
            assert_eq!(checker.next(&pair).unwrap(), Some(answer.len()));
            assert_eq!(checker.next(&pair[answer.len()..]).unwrap(), Some(answer.len()));
        }
    }

    #[test]
    fn waits_for_every_missing_byte() {
        for answer in [GOOD, CHUNKED] {
            for cut in 0..answer.len() {
                assert_eq!(Checker::new(HELLO).next(&answer[..cut]).unwrap(), None);
            }
        }
    }

    #[test]
    fn refuses_wrong_answers_also_after_a_right_one() {
        let wrong: [&[u8]; 5] = [
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 12\r\n\r\nHello world!",
            b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello World!",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHe",
            b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\nHello world!",
            b"ello world!HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello world!",
        ];
        let mut checker = Checker::new(HELLO);
        checker.next(GOOD).unwrap();
        for answer in wrong {
            assert!(checker.next(answer).is_err(), "{}", answer.escape_ascii());
        }
    }
}
