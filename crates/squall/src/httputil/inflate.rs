//! Request bodies that come compressed. Stricter than the client's decoder: gzip only, junk after it is refused, and the
//! limits count what comes out: how much, and how much for each byte that came in.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use super::exchange::BodyRefusal;
use super::limits::{INFLATION_FLOOR, MAX_INFLATION};
use super::request::RequestHead;

/// Decompresses one gzip body in bounded pieces.
pub(crate) struct Inflater {
    machine: Decompress,
    /// A member has ended; what follows, if anything, is another one.
    between_members: bool,
    /// Of any body.
    limit: u64,
    /// Of an inflated one.
    inflated_limit: u64,
    consumed: u64,
    produced: u64,
}

impl Inflater {
    /// For a request with `Content-Encoding: gzip`; the header is renamed to `X-Consumed-Content-Encoding`, so that
    /// nobody decompresses twice (Tornado does the same).
    pub(crate) fn for_request(head: &mut RequestHead) -> Option<Self> {
        // Nobody else says so.
        head.headers.remove("X-Consumed-Content-Encoding");
        if !head.headers.joined("Content-Encoding")?.eq_ignore_ascii_case("gzip") {
            return None;
        }
        // What is told of the body that came is not true of the one that goes on (RFC 9530 §2).
        for name in ["Content-Encoding", "Content-Digest", "Content-Md5", "Digest"] {
            head.headers.remove(name);
        }
        head.headers.add("X-Consumed-Content-Encoding", "gzip").ok()?;
        Some(Self {
            machine: Decompress::new_gzip(15),
            between_members: false,
            limit: 0,
            inflated_limit: 0,
            consumed: 0,
            produced: 0,
        })
    }

    /// The most bytes of any body, and of one that was inflated. Until this is called nothing may come out.
    pub(crate) fn set_limits(&mut self, limit: u64, inflated_limit: u64) {
        (self.limit, self.inflated_limit) = (limit, inflated_limit);
    }

    /// The next piece of at most `max` bytes that can be made of `input`; drops from `input` what was used.
    /// An empty piece means that more input is needed.
    pub(crate) fn next(&mut self, input: &mut &[u8], max: usize) -> Result<Bytes, BodyRefusal> {
        let mut out = Vec::with_capacity(max.min(16 * 1024));
        while !input.is_empty() && out.is_empty() {
            if self.between_members {
                self.machine = Decompress::new_gzip(15);
                self.between_members = false;
            }
            let before = self.machine.total_in();
            let status = self.machine.decompress_vec(input, &mut out, FlushDecompress::None);
            let used = (self.machine.total_in() - before) as usize;
            *input = &input[used..];
            self.consumed += used as u64;
            match status {
                Ok(Status::StreamEnd) => self.between_members = true,
                Ok(_) if used == 0 && out.is_empty() => return Err(BodyRefusal::Encoding),
                Ok(_) => {}
                Err(_) => return Err(BodyRefusal::Encoding),
            }
        }
        self.count(out)
    }

    /// Output that the machine still holds when there is no more input.
    pub(crate) fn rest(&mut self, max: usize) -> Result<Bytes, BodyRefusal> {
        if self.between_members {
            return Ok(Bytes::new());
        }
        let mut out = Vec::with_capacity(max.min(16 * 1024));
        if let Ok(Status::StreamEnd) = self.machine.decompress_vec(&[], &mut out, FlushDecompress::None) {
            self.between_members = true;
        }
        self.count(out)
    }

    /// What has been made, unless it is too much.
    fn count(&mut self, out: Vec<u8>) -> Result<Bytes, BodyRefusal> {
        self.produced += out.len() as u64;
        if self.produced > self.limit {
            return Err(BodyRefusal::TooLarge);
        }
        let allowed = INFLATION_FLOOR.max(self.consumed.saturating_mul(MAX_INFLATION));
        if self.produced > allowed.min(self.inflated_limit) {
            return Err(BodyRefusal::Inflates);
        }
        Ok(out.into())
    }

    /// The body has ended: so must the compressed data.
    pub(crate) fn finish(&self) -> Result<(), BodyRefusal> {
        if self.between_members { Ok(()) } else { Err(BodyRefusal::Encoding) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    }

    fn reader(limit: u64) -> Inflater {
        let mut head = RequestHead::default();
        head.headers.add("Content-Encoding", "GZIP").unwrap();
        let mut reader = Inflater::for_request(&mut head).unwrap();
        reader.set_limits(limit, limit);
        assert_eq!(head.headers.get("X-Consumed-Content-Encoding"), Some("gzip"));
        assert!(!head.headers.contains("Content-Encoding"));
        reader
    }

    fn decode(input: &[u8], step: usize, limit: u64) -> Result<Vec<u8>, BodyRefusal> {
        let mut reader = reader(limit);
        let mut out = Vec::new();
        for mut piece in input.chunks(step) {
            while !piece.is_empty() {
                out.extend_from_slice(&reader.next(&mut piece, 1000)?);
            }
        }
        loop {
            let rest = reader.rest(1000)?;
            if rest.is_empty() {
                break;
            }
            out.extend_from_slice(&rest);
        }
        reader.finish().map(|()| out)
    }

    #[test]
    fn any_split_and_several_members() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let whole = [gzip(&data[..60_000]), gzip(&data[60_000..])].concat();
        for step in [1, 7, 100, 100_000] {
            assert_eq!(decode(&whole, step, 1 << 20).as_deref(), Ok(&data[..]), "step {step}");
        }
    }

    #[test]
    fn what_inflates_too_much_for_its_size_is_refused() {
        let limit = 1 << 30;
        let text = |lines: u32| -> Vec<u8> {
            (0..lines).flat_map(|i| format!("{{\"id\":{i},\"name\":\"item\"}}\n").into_bytes()).collect()
        };
        let honest = text(200_000);
        let packed = gzip(&honest);
        assert!(
            honest.len() > 4 << 20 && honest.len() / packed.len() > 5,
            "{} {}",
            honest.len(),
            packed.len()
        );
        assert!(decode(&packed, 4096, limit).is_ok_and(|out| out == honest));
        // Small bodies may be as monotonous as they like.
        let zeros = |count: u64| gzip(&vec![0; count as usize]);
        assert!(decode(&zeros(INFLATION_FLOOR), 4096, limit).is_ok());
        assert_eq!(decode(&zeros(INFLATION_FLOOR + 1000), 4096, limit), Err(BodyRefusal::Inflates));
        // What came before counts.
        let mixed = [gzip(&honest), zeros(3 << 20)].concat();
        assert!(decode(&mixed, 4096, limit).is_ok());
        // The limit of what is inflated, below that of bodies.
        let mut reader = reader(limit);
        reader.set_limits(limit, 1000);
        assert_eq!(reader.next(&mut &packed[..], 2000), Err(BodyRefusal::Inflates));
    }

    #[test]
    fn bombs_junk_and_truncation_are_refused() {
        let bomb = gzip(&vec![0; 10 << 20]);
        assert_eq!(decode(&bomb, 4096, 1 << 20), Err(BodyRefusal::TooLarge));
        assert_eq!(decode(b"not gzip at all", 4096, 1 << 20), Err(BodyRefusal::Encoding));
        let good = gzip(b"hello");
        assert_eq!(decode(&good[..good.len() - 3], 4096, 1 << 20), Err(BodyRefusal::Encoding));
        assert_eq!(decode(&[&good[..], b"junk"].concat(), 4096, 1 << 20), Err(BodyRefusal::Encoding));
    }

    #[test]
    fn two_lines_are_one_list() {
        let mut head = RequestHead::default();
        for _ in 0..2 {
            head.headers.add("Content-Encoding", "gzip").unwrap();
        }
        head.headers.add("X-Consumed-Content-Encoding", "forged").unwrap();
        assert!(Inflater::for_request(&mut head).is_none());
        assert_eq!(head.headers.joined("Content-Encoding").as_deref(), Some("gzip,gzip"));
        assert!(!head.headers.contains("X-Consumed-Content-Encoding"));
        head.headers.set("Content-Encoding", "gzip").unwrap();
        head.headers.set("Content-Digest", "sha-256=:x:").unwrap();
        assert!(Inflater::for_request(&mut head).is_some());
        assert!(!head.headers.contains("Content-Digest"));
    }
}
