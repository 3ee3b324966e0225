//! Which coding a client wants (RFC 9110 §12.5.3).

use super::compress::ContentCoding;

/// The coding to use for a client that sent this `Accept-Encoding`: the one with the highest weight, by the order of
/// `offered` among equals; `None` for none at all.
///
/// Without the header any coding would be allowed, but who says nothing can often read none, so that it is none. A weight
/// that does not parse is 0: what the client cannot say it gets uncompressed.
pub(super) fn choose(accept: &str, offered: &[ContentCoding]) -> Option<ContentCoding> {
    let mut best: Option<(ContentCoding, u16)> = None;
    for &coding in offered {
        let weight = weight_of(accept, |name| coding.is_named(name)).unwrap_or(0);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((coding, weight));
        }
    }
    let (coding, weight) = best?;
    // An identity that is not mentioned is acceptable, but nothing that the client asks for.
    let identity = explicit_weight(accept, |name| name.eq_ignore_ascii_case("identity")).unwrap_or(0);
    (weight >= identity).then_some(coding)
}

/// The weight of a coding, its own or that of `*`, in thousandths.
fn weight_of(accept: &str, is_it: impl Fn(&str) -> bool) -> Option<u16> {
    explicit_weight(accept, is_it).or_else(|| explicit_weight(accept, |name| name == "*"))
}

fn explicit_weight(accept: &str, is_it: impl Fn(&str) -> bool) -> Option<u16> {
    accept.split(',').find_map(|member| {
        let mut parts = member.split(';').map(str::trim);
        if !is_it(parts.next()?) {
            return None;
        }
        let weight = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim_end().eq_ignore_ascii_case("q").then(|| thousandths(value.trim_start()))
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

    #[test]
    fn weights_decide_and_then_the_order() {
        let all = [Brotli, Zstd, Gzip];
        for (accept, chosen) in [
            ("gzip", Some(Gzip)),
            ("GZip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("br", Some(Brotli)),
            ("zstd", Some(Zstd)),
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip, deflate, zstd", Some(Zstd)),
            ("gzip;q=1.0, br;q=0.9", Some(Gzip)),
            ("gzip ; q=0.5 , zstd; Q=0.501", Some(Zstd)),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("gzip;q=0, br;q=0.001", Some(Brotli)),
            ("*", Some(Brotli)),
            ("*;q=0", None),
            ("*;q=0, gzip", Some(Gzip)),
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
