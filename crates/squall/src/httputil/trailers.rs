//! Trailer fields (RFC 9110 §6.5): which there may be.

use super::connection_fields::is_of_connection;
use super::headers::HttpHeaders;

/// Fields that must not come behind a body (RFC 9110 §6.5.1): whoever routes, frames, authenticates or caches a message has
/// acted before they are there. Beside them, those of the connection.
const FORBIDDEN: [&str; 38] = [
    "Accept",
    "Accept-Encoding",
    "Age",
    "Authorization",
    "Cache-Control",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Date",
    "Expect",
    "Expires",
    "Forwarded",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Location",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Range",
    "Retry-After",
    "Set-Cookie",
    "Trailer",
    "Vary",
    "Via",
    "WWW-Authenticate",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-Ip",
    "X-Scheme",
];

/// Whether a field of this name may not be a trailer, nor one that CGI and WSGI cannot tell from such a one, with `_` for `-`.
pub(crate) fn is_forbidden(name: &str) -> bool {
    let name = &name.replace('_', "-");
    is_of_connection(name) || FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name))
}

/// The fields that may be trailers: what a peer sends of others means nothing (RFC 9110 §6.5.1).
pub(crate) fn allowed(fields: &HttpHeaders) -> HttpHeaders {
    let mut trailers = HttpHeaders::new();
    for (name, value) in fields.iter_bytes().filter(|(name, _)| !is_forbidden(name)) {
        // It is a field already, so it can be one here.
        let _ = trailers.add(name, value);
    }
    trailers
}

/// Whether the sender of a message takes trailers (`TE: trailers`, RFC 9110 §10.1.4).
pub(crate) fn are_accepted(headers: &HttpHeaders) -> bool {
    let mut codings = headers.list("Te").flat_map(|line| line.split(','));
    codings.any(|coding| super::ows::trim(coding).eq_ignore_ascii_case("trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_about_a_message_is_no_trailer() {
        for name in ["host", "CONTENT-LENGTH", "Te", "set-cookie", "X-Forwarded-For", "x_forwarded_FOR"] {
            assert!(is_forbidden(name), "{name}");
        }
        let fields: HttpHeaders =
            [("Grpc-Status", "0"), ("Host", "evil"), ("Etag", "\"a\""), ("Grpc-Status", "1")]
                .into_iter()
                .collect();
        let kept = allowed(&fields);
        assert_eq!(
            kept.iter().collect::<Vec<_>>(),
            [("Grpc-Status", "0"), ("Etag", "\"a\""), ("Grpc-Status", "1")]
        );
    }

    #[test]
    fn who_takes_trailers_says_so() {
        for (lines, expected) in [
            (&["trailers"][..], true),
            (&["gzip;q=0.5", "Trailers"], true),
            (&["gzip, trailers ,deflate"], true),
            (&["gzip"], false),
            (&["trailersx"], false),
            (&[], false),
        ] {
            let headers: HttpHeaders = lines.iter().map(|line| ("TE", *line)).collect();
            assert_eq!(are_accepted(&headers), expected, "{lines:?}");
        }
    }
}
