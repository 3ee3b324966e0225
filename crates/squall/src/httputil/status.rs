//! Status codes and their reasons.

/// The usual reason of a status (RFC 9110 §15 and its registry), `Unknown` for others as in Tornado.
pub fn reason_phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Unknown")
}
