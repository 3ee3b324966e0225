//! Where a redirect leads, and what of the request goes along (RFC 9110 §15.4; Tornado's rules). Pure.

use http::Method;
use url::Url;

use super::reference;
use crate::httputil::HttpHeaders;

/// What becomes of a request that is redirected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) url: Url,
    pub(super) method: Method,
    /// The body goes along.
    pub(super) keep_body: bool,
    /// It leads to another origin than the *first* URL: credentials stay behind (CVE-2026-49853).
    pub(super) other_origin: bool,
}

/// The redirect that a response asks for; `None` for a response that is none.
///
/// # Errors
/// When the `Location` is no URL, or one that may be read in two ways; what is wrong with it.
pub(super) fn redirect(
    status: u16,
    location: Option<&str>,
    method: &Method,
    current: &Url,
    original: &Url,
) -> Result<Option<Redirect>, String> {
    let (301 | 302 | 303 | 307 | 308, Some(location)) = (status, location) else { return Ok(None) };
    let mut url = reference::follow(current, location)?;
    let other_origin = url.origin() != original.origin();
    if other_origin {
        // Without effect on URLs that cannot have them.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    let becomes_get = (status == 303 && *method != Method::HEAD)
        || (matches!(status, 301 | 302) && *method == Method::POST);
    let method = if becomes_get { Method::GET } else { method.clone() };
    Ok(Some(Redirect { url, method, keep_body: !becomes_get, other_origin }))
}

/// Removes the headers that must not go along.
pub(super) fn strip_headers(headers: &mut HttpHeaders, redirect: &Redirect) {
    if !redirect.keep_body {
        for name in ["Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding"] {
            headers.remove(name);
        }
    }
    if redirect.other_origin {
        for name in ["Authorization", "Cookie", "Proxy-Authorization"] {
            headers.remove(name);
        }
    }
    headers.remove("Host");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(status: u16, method: &str, from: &str, location: &str) -> Option<(String, String, bool, bool)> {
        let from: Url = from.parse().unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = redirect(status, Some(location), &method, &from, &from).unwrap()?;
        Some((found.url.to_string(), found.method.to_string(), found.keep_body, found.other_origin))
    }

    #[test]
    fn methods_and_bodies() {
        for (status, method, expected, keep_body) in [
            (301, "GET", "GET", true),
            (301, "POST", "GET", false),
            (302, "POST", "GET", false),
            (302, "PUT", "PUT", true),
            (302, "HEAD", "HEAD", true),
            (303, "POST", "GET", false),
            (303, "PUT", "GET", false),
            (303, "HEAD", "HEAD", true),
            (307, "POST", "POST", true),
            (308, "POST", "POST", true),
        ] {
            let (_, method_after, kept, _) = follow(status, method, "http://a/", "/b").unwrap();
            assert_eq!((method_after.as_str(), kept), (expected, keep_body), "{status} {method}");
        }
        for status in [200, 300, 304, 305, 306, 400] {
            assert_eq!(follow(status, "GET", "http://a/", "/b"), None);
        }
    }

    #[test]
    fn targets_and_origins() {
        for (from, location, to, other) in [
            ("http://a/x/y?z", "w", "http://a/x/w", false),
            ("http://a/x/y", "/w?q#f", "http://a/w?q#f", false),
            ("http://a/x#f", "http://b/", "http://b/#f", true),
            ("http://a/x", "//b/w", "http://b/w", true),
            ("http://a/x", "http://a:80/w", "http://a/w", false),
            ("http://a/x", "http://a:81/w", "http://a:81/w", true),
            ("http://a/x", "https://a/w", "https://a/w", true),
            ("http://a/x", "http://user:pw@b/w", "http://b/w", true),
            ("http://a/x", "http://user:pw@a/w", "http://user:pw@a/w", false),
        ] {
            let (url, _, _, other_origin) = follow(302, "GET", from, location).unwrap();
            assert_eq!((url.as_str(), other_origin), (to, other), "{location}");
        }
        let from: Url = "http://a/".parse().unwrap();
        for bad in ["http://[bad", "http:///x"] {
            redirect(302, Some(bad), &Method::GET, &from, &from).expect_err(bad);
        }
        assert_eq!(redirect(302, None, &Method::GET, &from, &from), Ok(None));
    }

    #[test]
    fn headers_that_stay_behind() {
        let url: Url = "http://b/".parse().unwrap();
        let mut headers: HttpHeaders = [
            ("Authorization", "x"),
            ("Cookie", "y"),
            ("Content-Type", "text/plain"),
            ("Host", "a"),
            ("X-Other", "z"),
        ]
        .into_iter()
        .collect();
        let all = Redirect { url, method: Method::GET, keep_body: false, other_origin: true };
        strip_headers(&mut headers, &all);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("X-Other", "z")]);
    }
}
