//! HTML behind the pages that pass. Pure.

use bytes::Bytes;

use crate::httputil::{HttpHeaders, ows};

/// What is to stand behind a page, asked for each request.
pub(super) type Html = Box<dyn Fn() -> Bytes>;

/// Fields of a request because of which the response would not be a whole page in plain text. What an upstream tells of
/// a page (its entity tag) is not true of the one with something behind it.
const REMOVED_FROM_REQUEST: [&str; 6] =
    ["Accept-Encoding", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "Range"];

const REMOVED_FROM_RESPONSE: [&str; 5] =
    ["Content-Length", "Etag", "Last-Modified", "Accept-Ranges", "Content-Md5"];

/// Has a request ask for a page that something can be put behind.
pub(super) fn ask(headers: &mut HttpHeaders) {
    for name in REMOVED_FROM_REQUEST {
        headers.remove(name);
    }
}

/// Whether something is put behind a response. If so its fields are mended.
pub(super) fn prepare(status: u16, headers: &mut HttpHeaders) -> bool {
    let is_html = headers.get("Content-Type").is_some_and(|told| {
        let media_type = told.split(';').next().unwrap_or_default();
        ows::trim(media_type).eq_ignore_ascii_case("text/html")
    });
    if !is_html || matches!(status, 204 | 206 | 304) || headers.contains("Content-Encoding") {
        return false;
    }
    for name in REMOVED_FROM_RESPONSE {
        headers.remove(name);
    }
    let _ = headers.set("Cache-Control", "no-store");
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_in_plain_text() {
        for (status, fields, expected) in [
            (200, &[("Content-Type", "text/html; charset=UTF-8"), ("Content-Length", "7")][..], true),
            (404, &[("Content-Type", "Text/HTML")], true),
            (200, &[("Content-Type", "text/plain")], false),
            (200, &[], false),
            (206, &[("Content-Type", "text/html")], false),
            (200, &[("Content-Type", "text/html"), ("Content-Encoding", "gzip")], false),
        ] {
            let mut headers: HttpHeaders = fields.iter().copied().collect();
            assert_eq!(prepare(status, &mut headers), expected, "{status} {fields:?}");
            assert!(!expected || !headers.contains("Content-Length"), "{fields:?}");
        }
    }
}
