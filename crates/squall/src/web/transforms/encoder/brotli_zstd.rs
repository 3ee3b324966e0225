//! brotli (RFC 7932) and zstd (RFC 8878). With the feature `compression`.

use std::io;

use super::{Encode, Levels};
use crate::web::Compression;
use crate::web::negotiate::ContentCoding;

/// How far back streamed responses are looked through, as a power of two. What such a response holds as long as it
/// lasts grows with it: hours, when it is a stream of events.
const STREAM_WINDOW: u32 = 16;
/// For whole responses, which hold it for the moment of their compression.
const LARGEST_WINDOW: u32 = 22;
const BROTLI_BUFFER: usize = 4096;

/// What is compressed with unless something else is set, the favourite first.
pub(in crate::web::transforms) const CODINGS: &[ContentCoding] =
    &[ContentCoding::Zstd, ContentCoding::Gzip, ContentCoding::Brotli];

impl Compression {
    /// The effort of brotli, from 0 to 11. Default: 4. From 10 on each piece of a large body holds the loop for long.
    /// With the feature `compression`, a default one.
    #[must_use]
    pub fn brotli_level(mut self, level: u32) -> Self {
        self.levels.brotli = level;
        self
    }

    /// The effort of zstd, from 1 to 19. Default: 3. With the feature `compression`, a default one.
    #[must_use]
    pub fn zstd_level(mut self, level: u32) -> Self {
        self.levels.zstd = level;
        self
    }
}

#[expect(clippy::unnecessary_wraps, reason = "called as zstd is, which may fail")]
pub(super) fn brotli(levels: Levels, whole: Option<usize>) -> io::Result<Box<dyn Encode>> {
    let writer = brotli::CompressorWriter::new(Vec::new(), BROTLI_BUFFER, levels.brotli, window_for(whole));
    Ok(Box::new(writer))
}

pub(super) fn zstd(levels: Levels, whole: Option<usize>) -> io::Result<Box<dyn Encode>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), levels.zstd as i32)?;
    encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(window_for(whole)))?;
    encoder.set_pledged_src_size(whole.map(|length| length as u64))?;
    Ok(Box::new(encoder))
}

impl Encode for brotli::CompressorWriter<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self: Box<Self>) -> io::Result<Vec<u8>> {
        Ok(self.into_inner())
    }
}

impl Encode for zstd::stream::write::Encoder<'static, Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self: Box<Self>) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

/// The smallest window that holds a whole body, within what all decoders take (RFC 7932 §9.1, RFC 9659).
fn window_for(whole: Option<usize>) -> u32 {
    whole.map_or(STREAM_WINDOW, |length| {
        length.max(2).next_power_of_two().ilog2().clamp(STREAM_WINDOW, LARGEST_WINDOW)
    })
}
