//! Which precompressed sibling a client is glad of (RFC 9110 §12.5.3).

/// A content coding and the extension of its siblings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) name: &'static str,
    pub(super) extension: &'static str,
}

/// The smallest first, which decides where the client has no preference.
const CODINGS: [Coding; 3] = [
    Coding { name: "br", extension: ".br" },
    Coding { name: "zstd", extension: ".zst" },
    Coding { name: "gzip", extension: ".gz" },
];

/// The codings that an `Accept-Encoding` takes at least as gladly as none, the most welcome first.
pub(super) fn welcome(header: &str) -> impl Iterator<Item = Coding> + use<> {
    // Without a word about it, `identity` is welcome, but less than anything that is named.
    let identity = quality(header, "identity").unwrap_or(0);
    let mut rated = CODINGS.map(|coding| {
        let any = if coding.name == "gzip" { quality(header, "x-gzip") } else { None };
        (quality(header, coding.name).or(any).or_else(|| quality(header, "*")).unwrap_or(0), coding)
    });
    rated.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    rated
        .into_iter()
        .filter(move |(quality, _)| *quality > 0 && *quality >= identity)
        .map(|(_, coding)| coding)
}

/// In thousandths; `None` when the coding is not named.
fn quality(header: &str, coding: &str) -> Option<u16> {
    header.split(',').find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(coding) {
            return None;
        }
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight: f32 = weight.map_or(Some(1.0), |text| text.trim().parse().ok()).unwrap_or(0.0);
        Some((weight.clamp(0.0, 1.0) * 1000.0) as u16)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn preferences() {
        for (header, expected) in [
            ("", ""),
            ("identity", ""),
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("GZip, Br", "br gzip"),
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("gzip;q=1, br;q=0.5", "gzip br"),
            ("gzip;q=0, br", "br"),
            ("br;q=0", ""),
            ("*", "br zstd gzip"),
            ("*;q=0.5, br;q=0", "zstd gzip"),
            ("identity, gzip;q=0.5", ""),
            ("gzip;q=nan, br;q=x", ""),
            ("gzip ; q=0.001", "gzip"),
        ] {
            let names: Vec<_> = super::welcome(header).map(|coding| coding.name).collect();
            assert_eq!(names.join(" "), expected, "{header:?}");
        }
    }
}
