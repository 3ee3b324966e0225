//! Random heads: what has broken heads before, and any octet.
//!
//! `SQUALL_SEED` and `SQUALL_ROUNDS` choose others than the usual ones.

/// xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// What has broken heads before, and any octet.
    fn value(&mut self, evil: bool) -> Vec<u8> {
        const PIECES: [&[u8]; 16] = [
            b"\xc4\x8d\xc4\x8a",
            b"\xe5\x98\x8d\xe5\x98\x8a",
            b"\xc4\x80",
            b"\xc4\xba",
            b"\xc0\x8d\xc0\x8a",
            b"\xff\xfe",
            b"\xe2\x82",
            b"\xf0\x9f\x98\x80",
            b": ",
            b"\xa0",
            b"\x85",
            b"\tx",
            b", ",
            b"\"\\",
            b"GET /smuggled HTTP/1.1",
            b"Content-Length: 5",
        ];
        const EVIL: [&[u8]; 8] = [
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b"\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            b"\n\n",
            b"\x7f",
            b"\x0b",
        ];
        let mut value = b"v".to_vec();
        for _ in 0..self.below(6) {
            match self.below(3) {
                0 => value.extend_from_slice(self.pick(&PIECES)),
                1 if evil => value.extend_from_slice(self.pick(&EVIL)),
                _ => value.push(match self.next() as u8 {
                    octet @ (b'\t' | b' '..=b'~' | 0x80..) => octet,
                    octet if evil => octet,
                    _ => b'.',
                }),
            }
        }
        value.push(b'v');
        value
    }

    pub(crate) fn fields(&mut self, evil: bool) -> Vec<(String, Vec<u8>)> {
        const NAMES: [&str; 10] = [
            "X-A",
            "X-B",
            "Cookie",
            "Accept",
            "X-Long-Name",
            "Etag",
            "Set-Cookie",
            "X-A!#$%&'*+.^`~",
            "X-1",
            "A",
        ];
        (0..1 + self.below(6)).map(|_| (self.pick(&NAMES).to_owned(), self.value(evil))).collect()
    }
}

pub(crate) fn start() -> (Random, usize) {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let seed = number("SQUALL_SEED", 0x5eed);
    println!("seed {seed}");
    (Random(seed | 1), number("SQUALL_ROUNDS", 150) as usize)
}

pub(crate) fn block(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            block.extend_from_slice(part);
        }
    }
    block
}

/// The fields of the names that random heads have.
fn own_fields(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let head = &message[..find(message, b"\r\n\r\n").unwrap() + 2];
    let mut fields = Vec::new();
    let mut rest = head;
    while let Some(end) = find(rest, b"\r\n") {
        let line = &rest[..end];
        if let Some(colon) = find(line, b": ") {
            let name = String::from_utf8(line[..colon].to_vec()).unwrap();
            fields.push((name, line[colon + 2..].to_vec()));
        }
        rest = &rest[end + 2..];
    }
    fields
}

/// Whether it is one of those that a proxy, a server or a client adds.
pub(crate) fn is_added(name: &str) -> bool {
    matches!(
        name,
        "Host"
            | "Connection"
            | "Via"
            | "Date"
            | "Content-Length"
            | "Transfer-Encoding"
            | "User-Agent"
            | "Accept-Encoding"
    ) || name.starts_with("X-Forwarded-")
        || name == "X-Real-Ip"
}

pub(crate) fn kept(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields = own_fields(message);
    fields.retain(|(name, _)| !is_added(name));
    fields
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
