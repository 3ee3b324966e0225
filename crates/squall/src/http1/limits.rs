//! Limits of what only HTTP/1 has. Those of every connection are in
//! [`ConnectionLimits`](crate::httputil::ConnectionLimits).

/// The most bytes of chunk extensions in one body. They mean nothing to us; without a budget a peer could keep
/// a connection busy without ever sending data (RFC 9112 §7.1.1 asks for a limit).
pub(crate) const MAX_CHUNK_EXTENSIONS: usize = 16 * 1024;
/// The most bytes of trailer fields.
pub(crate) const MAX_TRAILER: usize = 16 * 1024;
