//! Content types by the name of a file.

use std::borrow::Cow;

/// The type that a file's name tells, as Tornado says it: a compressed file is what it is, not what is in it.
///
/// `x.tar.gz` is `application/gzip` (RFC 6713); other compressions and unknown names are `application/octet-stream`.
pub(super) fn guess(name: &str) -> Cow<'static, str> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let extension = match file.rsplit_once('.') {
        Some((stem, extension)) if !stem.trim_start_matches('.').is_empty() => extension,
        _ => return OCTETS,
    };
    // `.Z` is compress, `.z` is nothing in particular.
    if extension == "Z" {
        return OCTETS;
    }
    match extension.to_ascii_lowercase().as_str() {
        "gz" | "tgz" | "taz" | "tz" | "svgz" => Cow::Borrowed("application/gzip"),
        "bz2" | "tbz2" | "xz" | "txz" | "br" | "zst" => OCTETS,
        "ico" => Cow::Borrowed("image/vnd.microsoft.icon"),
        lower => mime_guess::from_ext(lower).first_raw().map_or(OCTETS, Cow::Borrowed),
    }
}

const OCTETS: Cow<'static, str> = Cow::Borrowed("application/octet-stream");

#[cfg(test)]
mod tests {
    #[test]
    fn types() {
        for (name, expected) in [
            ("robots.txt", "text/plain"),
            ("a/b/index.html", "text/html"),
            ("INDEX.HTML", "text/html"),
            ("style.css", "text/css"),
            ("app.js", "text/javascript"),
            ("data.json", "application/json"),
            ("sample.xml", "text/xml"),
            ("favicon.ico", "image/vnd.microsoft.icon"),
            ("logo.svg", "image/svg+xml"),
            ("logo.svgz", "application/gzip"),
            ("code.wasm", "application/wasm"),
            ("font.woff2", "font/woff2"),
            ("sample.xml.gz", "application/gzip"),
            ("x.tar.gz", "application/gzip"),
            ("x.tgz", "application/gzip"),
            ("sample.xml.bz2", "application/octet-stream"),
            ("x.tar.xz", "application/octet-stream"),
            ("x.Z", "application/octet-stream"),
            ("ten.bin", "application/octet-stream"),
            ("unknown.zzzz", "application/octet-stream"),
            ("README", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("dir.d/README", "application/octet-stream"),
            ("name.", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(super::guess(name), expected, "{name}");
        }
    }
}
