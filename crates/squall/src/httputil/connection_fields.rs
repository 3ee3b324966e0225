//! Fields that are about one connection, for all who must not let them through.

/// They say how this connection goes on and how a body travels on it (RFC 9110 §7.6.1): each side of who passes a message on
/// writes its own, HTTP/2 has none of them (RFC 9113 §8.2.2), and they come too late behind a body.
const NAMES: [&str; 6] =
    ["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Transfer-Encoding", "Upgrade"];

/// Whether a field is about the connection.
pub(crate) fn is_of_connection(name: &str) -> bool {
    NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Whether a field is for the next recipient only: about the connection, or for a proxy (RFC 9110 §11.7), the list of what
/// stands behind this body (§6.6.2), or of an upgrade to HTTP/2 (RFC 7540 §3.2.1).
#[cfg(feature = "client")]
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    const FURTHER: [&str; 4] = ["HTTP2-Settings", "Proxy-Authenticate", "Proxy-Authorization", "Trailer"];
    is_of_connection(name) || FURTHER.iter().any(|further| further.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_whatever_case() {
        for name in
            ["Connection", "keep-alive", "TE", "Te", "proxy-connection", "Transfer-Encoding", "UPGRADE"]
        {
            assert!(is_of_connection(name), "{name}");
        }
        for name in ["Content-Length", "Trailer", "Connections", ""] {
            assert!(!is_of_connection(name), "{name}");
        }
    }
}
