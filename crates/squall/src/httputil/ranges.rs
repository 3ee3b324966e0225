//! Range requests (RFC 9110 §14), read as Tornado reads them: one range of bytes, anything else is ignored.

use std::fmt;
use std::ops::Range;

use super::headers::HttpHeaders;
use super::ows;

/// What a `Range` header asks for, before the length of the content is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=first-` or `bytes=first-last`; `last` is included.
    From {
        /// The first byte.
        first: u64,
        /// The last one, if it is said.
        last: Option<u64>,
    },
    /// `bytes=-n`: the last `n` bytes.
    Suffix(u64),
    /// `bytes=`: nothing, and so everything.
    All,
}

/// Which bytes of a content are to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them, with 200. Also for a range that comes to that: Chrome plays no audio whose `bytes=0-` is a 206.
    Whole,
    /// These, with 206.
    Part(Range<u64>),
    /// 416.
    Unsatisfiable,
}

impl ByteRange {
    /// What the `Range` of a request asks for; two of them ask for nothing.
    pub(crate) fn of(headers: &HttpHeaders) -> Option<Self> {
        let mut lines = headers.list("Range");
        let header = lines.next()?;
        if lines.next().is_some() { None } else { Self::parse(header) }
    }

    /// Reads a `Range` header; `None` for other units, several ranges and what is no range: the header is ignored then.
    ///
    /// As in Tornado `bytes=5` stands for `bytes=5-`. Numbers beyond 2⁶⁴ are taken for the largest.
    #[doc(alias = "_parse_request_range")]
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, value) = header.split_once('=')?;
        if ows::trim(unit) != "bytes" {
            return None;
        }
        let (first, last) = value.split_once('-').unwrap_or((value, ""));
        match (number(first)?, number(last)?) {
            (Some(first), last) => Some(Self::From { first, last }),
            (None, Some(suffix)) => Some(Self::Suffix(suffix)),
            (None, None) => Some(Self::All),
        }
    }

    /// What it comes to for a content of `size` bytes.
    pub fn select(self, size: u64) -> Selection {
        let range = match self {
            Self::All => return Selection::Whole,
            Self::Suffix(0) => return Selection::Unsatisfiable,
            Self::Suffix(length) => size.saturating_sub(length)..size,
            Self::From { first, last } => {
                if first >= size || last.is_some_and(|last| last < first) {
                    return Selection::Unsatisfiable;
                }
                first..last.map_or(size, |last| last.saturating_add(1).min(size))
            }
        };
        if range == (0..size) { Selection::Whole } else { Selection::Part(range) }
    }
}

/// `Content-Range` of a part; for a 416 that of no part.
pub(crate) struct ContentRange<'a> {
    pub(crate) part: Option<&'a Range<u64>>,
    pub(crate) size: u64,
}

impl fmt::Display for ContentRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Some(part) => write!(f, "bytes {}-{}/{}", part.start, part.end.saturating_sub(1), self.size),
            None => write!(f, "bytes */{}", self.size),
        }
    }
}

/// `Some(None)` for nothing, `None` for what is no number.
fn number(text: &str) -> Option<Option<u64>> {
    let text = ows::trim(text);
    if text.is_empty() {
        return Some(None);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        use Selection::{Part, Unsatisfiable, Whole};
        #[rustfmt::skip] // one row, one line
        let table = [
            ("bytes=0-4", Some(Part(0..5))),
            ("bytes=3-3", Some(Part(3..4))),
            ("bytes=7-", Some(Part(7..10))),
            ("bytes=9-9", Some(Part(9..10))),
            ("bytes=9-", Some(Part(9..10))),
            ("bytes=5", Some(Part(5..10))),
            (" bytes = 1 - 2 ", Some(Part(1..3))),
            ("bytes=-3", Some(Part(7..10))),
            ("bytes=-10", Some(Whole)),
            ("bytes=-100", Some(Whole)),
            ("bytes=-0", Some(Unsatisfiable)),
            ("bytes=0-", Some(Whole)),
            ("bytes=0-9", Some(Whole)),
            ("bytes=0-100", Some(Whole)),
            ("bytes=5-100", Some(Part(5..10))),
            ("bytes=5-18446744073709551615", Some(Part(5..10))),
            ("bytes=5-99999999999999999999999", Some(Part(5..10))),
            ("bytes=99999999999999999999999-", Some(Unsatisfiable)),
            ("bytes=10-", Some(Unsatisfiable)),
            ("bytes=10", Some(Unsatisfiable)),
            ("bytes=5-2", Some(Unsatisfiable)),
            ("bytes=", Some(Whole)),
            ("bytes=-", Some(Whole)),
            ("bytes=0-1,3-4", None),
            ("bytes=--1", None),
            ("bytes=+1-2", None),
            ("bytes=1_0-", None),
            ("bytes=0x1-", None),
            ("bytes=\u{661}-", None),
            ("chars=0-1", None),
            ("Bytes=0-1", None),
            ("asdf", None),
            ("bytes", None),
            ("", None),
        ];
        for (header, selection) in table {
            assert_eq!(ByteRange::parse(header).map(|range| range.select(10)), selection, "{header:?}");
        }
    }

    #[test]
    fn nothing_has_no_part() {
        for header in ["bytes=0-", "bytes=0-0", "bytes=-0"] {
            let range = ByteRange::parse(header).unwrap();
            assert_eq!(range.select(0), Selection::Unsatisfiable, "{header}");
        }
        assert_eq!(ByteRange::All.select(0), Selection::Whole);
        // RFC 9110 §14.1.2: the last bytes of nothing are all of it.
        assert_eq!(ByteRange::Suffix(1).select(0), Selection::Whole);
    }

    #[test]
    fn two_lines_are_ignored() {
        let mut headers = HttpHeaders::new();
        assert_eq!(ByteRange::of(&headers), None);
        headers.add("Range", "bytes=0-1").unwrap();
        assert_eq!(ByteRange::of(&headers), Some(ByteRange::From { first: 0, last: Some(1) }));
        headers.add("Range", "bytes=2-3").unwrap();
        assert_eq!(ByteRange::of(&headers), None);
    }

    #[test]
    fn content_ranges() {
        let part = ContentRange { part: Some(&(1..3)), size: 4 };
        assert_eq!(part.to_string(), "bytes 1-2/4");
        assert_eq!(ContentRange { part: None, size: 4 }.to_string(), "bytes */4");
    }
}
