//! What the two hand-written servers share: the answer, and finding where requests end.

use memchr::memmem;

/// What squall answers to its hello application by default, byte for byte but for date and tag.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: squall/0.1.0\r\n\
    Content-Type: text/html; charset=UTF-8\r\n\
    Date: Sat, 21 Nov 2026 01:27:48 GMT\r\n\
    Etag: \"0123456789abcdef\"\r\n\
    Content-Length: 12\r\n\
    \r\n\
    Hello world!";

/// Requests without a body end where their heads end.
#[derive(Default)]
pub struct Requests {
    /// Split the heads into their lines and check them, with the parser that squall and hyper use.
    parse: bool,
    /// The start of a request whose end has not come yet.
    partial: Vec<u8>,
}

impl Requests {
    pub fn parsing(parse: bool) -> Self {
        Self { parse, ..Self::default() }
    }

    /// Appends one answer to `answers` for each request that ends in `bytes`.
    pub fn answer(&mut self, bytes: &[u8], answers: &mut Vec<u8>) {
        if self.partial.is_empty() {
            let rest = self.answer_each(bytes, answers);
            self.partial.extend_from_slice(&bytes[rest..]);
        } else {
            self.partial.extend_from_slice(bytes);
            let rest = self.answer_each(&self.partial, answers);
            self.partial.drain(..rest);
        }
    }

    /// Where the first unfinished request starts.
    fn answer_each(&self, bytes: &[u8], answers: &mut Vec<u8>) -> usize {
        if self.parse { parse_each(bytes, answers) } else { find_each(bytes, answers) }
    }
}

fn find_each(bytes: &[u8], answers: &mut Vec<u8>) -> usize {
    let mut rest = 0;
    for end in memmem::find_iter(bytes, b"\r\n\r\n") {
        answers.extend_from_slice(ANSWER);
        rest = end + 4;
    }
    rest
}

/// What is no request is never finished: the generator sends none such.
fn parse_each(bytes: &[u8], answers: &mut Vec<u8>) -> usize {
    let mut rest = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        match httparse::Request::new(&mut headers).parse(&bytes[rest..]) {
            Ok(httparse::Status::Complete(length)) => {
                answers.extend_from_slice(ANSWER);
                rest += length;
            }
            _ => return rest,
        }
    }
}
