//! What an HTTP/1 connection allows its peer.

use std::time::Duration;

/// Limits and timeouts of an HTTP/1 connection (Tornado's `HTTP1ConnectionParameters`).
///
/// Every limit is on by default. What they answer with: a head too large 431, a body too large 413, too slow 408,
/// each followed by closing the connection.
#[doc(alias = "HTTP1ConnectionParameters")]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Http1ConnectionParameters {
    /// Close after each response, whatever the client asks. Default: off.
    pub no_keep_alive: bool,
    /// The most bytes handed to the application at once. Default: 65,536.
    pub chunk_size: usize,
    /// The most bytes of start line and headers. Default: 65,536.
    pub max_header_size: usize,
    /// The most header lines. Default: 1,000.
    pub max_header_count: usize,
    /// The most bytes of a body, as sent and after decompression. Default: 104,857,600 (100 MiB).
    pub max_body_size: u64,
    /// The most bytes that a compressed body may inflate to, beside `max_body_size`. Default: 10,485,760 (10 MiB).
    pub max_decompressed_size: u64,
    /// How long a head may take from its first byte. Default: 60 s.
    pub header_timeout: Option<Duration>,
    /// How long a body may take from the end of its head. Default: none.
    pub body_timeout: Option<Duration>,
    /// How long a body may be waited for until it has come forward by 14,400 bytes, or to its end: a least rate of 240
    /// bytes a second. Default: 60 s.
    pub body_stall_timeout: Option<Duration>,
    /// How long a connection may wait for a request. Default: 3,600 s.
    pub idle_connection_timeout: Option<Duration>,
    /// How long a client may take none of the output that waits for it. Default: 60 s.
    pub write_timeout: Option<Duration>,
    /// Hand gzip request bodies over decompressed. Default: off.
    pub decompress: bool,
}

/// The most bytes of chunk extensions in one body. They mean nothing to us; without a budget a peer could keep
/// a connection busy without ever sending data (RFC 9112 §7.1.1 asks for a limit).
pub(crate) const MAX_CHUNK_EXTENSIONS: usize = 16 * 1024;
/// So much of a body must come within `body_stall_timeout`.
pub(crate) const BODY_STEP: usize = 14_400;
/// A compressed body may inflate to so many times its size ...
pub(crate) const MAX_INFLATION: u64 = 100;
/// ... once it has inflated to so much. JSON and CSV as programs write them come to 5 to 40 times their size.
pub(crate) const INFLATION_FLOOR: u64 = 1024 * 1024;
/// The most bytes of trailer fields.
pub(crate) const MAX_TRAILER: usize = 16 * 1024;

impl Default for Http1ConnectionParameters {
    fn default() -> Self {
        Self {
            no_keep_alive: false,
            chunk_size: 65_536,
            max_header_size: 65_536,
            max_header_count: 1_000,
            max_body_size: 104_857_600,
            max_decompressed_size: 10_485_760,
            header_timeout: Some(Duration::from_secs(60)),
            body_timeout: None,
            body_stall_timeout: Some(Duration::from_secs(60)),
            idle_connection_timeout: Some(Duration::from_secs(3_600)),
            write_timeout: Some(Duration::from_secs(60)),
            decompress: false,
        }
    }
}
