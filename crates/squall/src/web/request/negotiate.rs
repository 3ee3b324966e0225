//! Which content coding a client is glad of (RFC 9110 §12.5.3): for files that lie there compressed and for what is
//! compressed on its way.

use crate::httputil::ows;

/// A content coding for responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentCoding {
    /// `gzip` (RFC 1952), which every client knows.
    Gzip,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
}

impl ContentCoding {
    /// All of them, what compresses best first.
    pub(in crate::web) const SMALLEST_FIRST: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// The name in `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// What the name of a file ends in that is compressed so.
    pub(in crate::web) fn extension(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
        }
    }

    /// Whether this name in an `Accept-Encoding` means it. (`x-gzip`: RFC 9110 §8.4.1.3.)
    fn is_named(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.as_str())
            || (self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip"))
    }
}

/// What an `Accept-Encoding` says.
///
/// Without the header any coding would be allowed, but who says nothing can often read none, so that it is none. A weight
/// that does not parse is 0: what the client cannot say it gets uncompressed.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Accepted<'a> {
    header: &'a str,
    /// An identity that is not mentioned is acceptable, but nothing that the client asks for.
    identity: u16,
}

impl<'a> Accepted<'a> {
    pub(in crate::web) fn of(header: &'a str) -> Self {
        let identity = explicit_weight(header, |name| name.eq_ignore_ascii_case("identity"));
        Self { header, identity: identity.unwrap_or(0) }
    }

    /// How gladly the client takes a coding, in thousandths; 0 if not at all, or less so than no coding.
    pub(in crate::web) fn weight(self, coding: ContentCoding) -> u16 {
        let weight = explicit_weight(self.header, |name| coding.is_named(name));
        let weight = weight.or_else(|| explicit_weight(self.header, |name| name == "*")).unwrap_or(0);
        if weight >= self.identity { weight } else { 0 }
    }

    /// The coding with the highest weight, by the order of `offered` among equals; `None` for none at all.
    pub(in crate::web) fn choose(
        self,
        offered: impl IntoIterator<Item = ContentCoding>,
    ) -> Option<ContentCoding> {
        let mut best = None;
        for coding in offered {
            let weight = self.weight(coding);
            if weight > best.map_or(0, |(_, weight)| weight) {
                best = Some((coding, weight));
            }
        }
        best.map(|(coding, _)| coding)
    }
}

fn explicit_weight(accept: &str, is_it: impl Fn(&str) -> bool) -> Option<u16> {
    accept.split(',').find_map(|member| {
        let mut parts = member.split(';').map(ows::trim);
        if !is_it(parts.next()?) {
            return None;
        }
        let weight = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            ows::trim_end(name).eq_ignore_ascii_case("q").then(|| thousandths(ows::trim_start(value)))
        });
        Some(weight.unwrap_or(1000))
    })
}

/// `qvalue = ( "0" [ "." *3DIGIT ] ) / ( "1" [ "." *3"0" ] )`
fn thousandths(text: &str) -> u16 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    let decimals = decimals.bytes().chain(std::iter::repeat(b'0')).take(3);
    let decimals = decimals.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match (whole, decimals) {
        ("0", _) => decimals,
        ("1", 0) => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ContentCoding::{Brotli, Gzip, Zstd};

    fn choose(accept: &str, offered: &[ContentCoding]) -> Option<ContentCoding> {
        Accepted::of(accept).choose(offered.iter().copied())
    }

    #[test]
    fn weights_decide_and_then_the_order() {
        let all = ContentCoding::SMALLEST_FIRST;
        for (accept, chosen) in [
            ("gzip", Some(Gzip)),
            ("GZip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("br", Some(Brotli)),
            ("zstd", Some(Zstd)),
            ("GZip, Br", Some(Brotli)),
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip, deflate, zstd", Some(Zstd)),
            ("gzip;q=1.0, br;q=0.9", Some(Gzip)),
            ("gzip;q=1, br;q=0.5", Some(Gzip)),
            ("gzip ; q=0.5 , zstd; Q=0.501", Some(Zstd)),
            ("gzip ; q=0.001", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("gzip;q=0, br;q=0.001", Some(Brotli)),
            ("*", Some(Brotli)),
            ("*;q=0", None),
            ("*;q=0, gzip", Some(Gzip)),
            ("*;q=0.5, br;q=0", Some(Zstd)),
            ("br;q=0, *", Some(Zstd)),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0, gzip", Some(Gzip)),
            ("identity;q=0", None),
            ("", None),
            ("deflate", None),
            ("gzipped, ungzip, not gzip", None),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=", None),
            ("gzip;q=-1", None),
            ("gzip;q=nan, br;q=x", None),
            ("gzip;level=9;q=0", None),
            ("gzip;level=9", Some(Gzip)),
            (",, ,gzip,", Some(Gzip)),
        ] {
            assert_eq!(choose(accept, &all), chosen, "{accept}");
        }
        assert_eq!(choose("gzip, br", &[Gzip, Brotli]), Some(Gzip));
        assert_eq!(choose("br", &[Gzip]), None);
        assert_eq!(choose("*", &[]), None);
    }
}
