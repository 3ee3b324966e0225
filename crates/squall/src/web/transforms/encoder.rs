//! The encoders behind one type.

use std::io::{self, Write};

use crate::web::negotiate::ContentCoding;

/// The effort of each coding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    pub(super) gzip: u32,
    pub(super) brotli: u32,
    pub(super) zstd: u32,
}

/// An encoder that writes into memory.
pub(super) enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    // Boxed: it is many times as large as the others.
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

/// How far back streamed responses are looked through, as a power of two. What such a response holds as long as it
/// lasts grows with it: hours, when it is a stream of events.
const STREAM_WINDOW: u32 = 16;
/// For whole responses, which hold it for the moment of their compression.
const LARGEST_WINDOW: u32 = 22;
const BROTLI_BUFFER: usize = 4096;

impl Encoder {
    /// An encoder for a body of which `whole` bytes are all, or for one that goes on.
    pub(super) fn new(coding: ContentCoding, levels: Levels, whole: Option<usize>) -> io::Result<Self> {
        let window = whole.map_or(STREAM_WINDOW, window_for);
        Ok(match coding {
            ContentCoding::Gzip => {
                let level = flate2::Compression::new(levels.gzip);
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level))
            }
            ContentCoding::Brotli => {
                let quality = levels.brotli;
                Self::Brotli(Box::new(brotli::CompressorWriter::new(
                    Vec::new(),
                    BROTLI_BUFFER,
                    quality,
                    window,
                )))
            }
            ContentCoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), levels.zstd as i32)?;
                encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(window))?;
                encoder.set_pledged_src_size(whole.map(|length| length as u64))?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Takes a piece, and gives out what has been made so far: more will follow at once.
    pub(super) fn part(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        self.writer().write_all(data)?;
        Ok(self.take_made())
    }

    /// Takes a piece, and gives out all that a decoder needs to have it whole.
    pub(super) fn piece(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        let writer = self.writer();
        writer.write_all(data)?;
        writer.flush()?;
        Ok(self.take_made())
    }

    /// Takes the last piece.
    pub(super) fn last(self, data: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(mut encoder) => {
                encoder.write_all(data)?;
                encoder.finish()
            }
            Self::Brotli(mut encoder) => {
                encoder.write_all(data)?;
                Ok(encoder.into_inner())
            }
            Self::Zstd(mut encoder) => {
                encoder.write_all(data)?;
                encoder.finish()
            }
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }

    fn take_made(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
    }
}

/// The smallest window that holds `length` bytes, within what all decoders take (RFC 7932 §9.1, RFC 9659).
fn window_for(length: usize) -> u32 {
    length.max(2).next_power_of_two().ilog2().clamp(STREAM_WINDOW, LARGEST_WINDOW)
}
