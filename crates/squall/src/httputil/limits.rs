//! What a connection allows its peer, whatever the version of the protocol.

use std::time::Duration;

/// Limits and timeouts of a connection.
///
/// Every limit is on by default. What they answer with: a head too large 431, a body too large 413, too slow 408.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConnectionLimits {
    /// The most bytes handed to the application at once. Default: 65,536.
    pub(crate) chunk_size: usize,
    /// The most bytes of start line and headers. Default: 65,536.
    pub(crate) max_header_size: usize,
    /// The most header lines. Default: 1,000.
    pub(crate) max_header_count: usize,
    /// The most bytes of a body, as sent and after decompression. Default: 104,857,600 (100 MiB).
    pub(crate) max_body_size: u64,
    /// The most bytes that a compressed body may inflate to, beside `max_body_size`. Default: 10,485,760 (10 MiB).
    pub(crate) max_decompressed_size: u64,
    /// How long a head may take from its first byte. Default: 60 s.
    pub(crate) header_timeout: Option<Duration>,
    /// How long a body may take from the end of its head. Default: none.
    pub(crate) body_timeout: Option<Duration>,
    /// How long a body may be waited for until it has come forward by 14,400 bytes, or to its end: a least rate of 240
    /// bytes a second. Default: 60 s.
    pub(crate) body_stall_timeout: Option<Duration>,
    /// How long a connection may wait for a request. Default: 3,600 s.
    pub(crate) idle_connection_timeout: Option<Duration>,
    /// How long a client may take none of the output that waits for it. Default: 60 s.
    pub(crate) write_timeout: Option<Duration>,
    /// Hand gzip request bodies over decompressed. Default: off.
    pub(crate) decompress: bool,
}

/// So much of a body must come within `body_stall_timeout`.
pub(crate) const BODY_STEP: usize = 14_400;
/// A compressed body may inflate to so many times its size ...
pub(crate) const MAX_INFLATION: u64 = 100;
/// ... once it has inflated to so much. JSON and CSV as programs write them come to 5 to 40 times their size.
pub(crate) const INFLATION_FLOOR: u64 = 1024 * 1024;

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
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
