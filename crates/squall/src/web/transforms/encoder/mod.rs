//! The encoders behind one type.

#[cfg(feature = "compression")]
mod brotli_zstd;

use std::io::{self, Write};

use flate2::write::GzEncoder;

use crate::web::negotiate::ContentCoding;

pub(super) use self::brotli_zstd::CODINGS;

/// The effort of each coding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    pub(super) gzip: u32,
    pub(super) brotli: u32,
    pub(super) zstd: u32,
}

/// An encoder that writes into memory.
pub(super) struct Encoder(Box<dyn Encode>);

impl Encoder {
    /// An encoder for a body of which `whole` bytes are all, or for one that goes on. The coding is one of [`CODINGS`].
    pub(super) fn new(coding: ContentCoding, levels: Levels, whole: Option<usize>) -> io::Result<Self> {
        Ok(Self(match coding {
            ContentCoding::Gzip => {
                Box::new(GzEncoder::new(Vec::new(), flate2::Compression::new(levels.gzip)))
            }
            ContentCoding::Brotli => brotli_zstd::brotli(levels, whole)?,
            ContentCoding::Zstd => brotli_zstd::zstd(levels, whole)?,
        }))
    }

    /// Takes a piece, and gives out what has been made so far: more will follow at once.
    pub(super) fn part(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(data)?;
        Ok(std::mem::take(self.0.made()))
    }

    /// Takes a piece, and gives out all that a decoder needs to have it whole.
    pub(super) fn piece(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(data)?;
        self.0.flush()?;
        Ok(std::mem::take(self.0.made()))
    }

    /// Takes the last piece.
    pub(super) fn last(mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(data)?;
        self.0.end()
    }
}

/// A writer that compresses into a vector.
trait Encode: Write {
    /// What has been made so far.
    fn made(&mut self) -> &mut Vec<u8>;

    fn end(self: Box<Self>) -> io::Result<Vec<u8>>;
}

impl Encode for GzEncoder<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn end(self: Box<Self>) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

/// Neither is there without the feature `compression`; an application that asks for one does not start.
#[cfg(not(feature = "compression"))]
mod brotli_zstd {
    use std::io;

    use super::{Encode, Levels};
    use crate::web::negotiate::ContentCoding;

    pub(in crate::web::transforms) const CODINGS: &[ContentCoding] = &[ContentCoding::Gzip];

    pub(super) fn brotli(_: Levels, _: Option<usize>) -> io::Result<Box<dyn Encode>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) use self::brotli as zstd;
}
