//! brotli (RFC 7932) and zstd (RFC 8878), undone. With the feature `compression`.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

use super::{Begin, Corrupt, Machine};

/// What the client says it understands.
pub(in crate::httpclient) const ACCEPT_ENCODING: &str = "gzip, deflate, br, zstd";
/// RFC 9659: a window of more than 8 MB is not used over HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;

type BrotliState = brotli::BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

pub(super) fn machine(coding: &str) -> Option<Box<dyn Machine>> {
    match coding {
        "br" => {
            let allocator = StandardAlloc::default;
            Some(Box::new(Brotli(BrotliState::new(allocator(), allocator(), allocator()))))
        }
        "zstd" => {
            let mut decoder = ZstdDecoder::new().ok()?;
            decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).ok()?;
            Some(Box::new(Zstd(decoder)))
        }
        _ => None,
    }
}

struct Brotli(BrotliState);

impl Machine for Brotli {
    fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Corrupt> {
        let (mut available_in, mut in_at) = (input.len(), 0);
        let made = out.len();
        out.resize(out.capacity(), 0);
        let (mut available_out, mut out_at, mut total) = (out.len() - made, made, 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut in_at,
            input,
            &mut available_out,
            &mut out_at,
            out,
            &mut total,
            &mut self.0,
        );
        out.truncate(out_at);
        *input = &input[in_at..];
        match result {
            BrotliResult::ResultSuccess => Ok(true),
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok(false),
            BrotliResult::ResultFailure => Err(Corrupt),
        }
    }
}

struct Zstd(ZstdDecoder<'static>);

impl Machine for Zstd {
    fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Corrupt> {
        let mut from = InBuffer::around(input);
        let made = out.len();
        out.resize(out.capacity(), 0);
        let mut to = OutBuffer::around_pos(&mut out[..], made);
        let left = self.0.run(&mut from, &mut to).map_err(|_| Corrupt)?;
        let (used, filled) = (from.pos(), to.pos());
        out.truncate(filled);
        *input = &input[used..];
        Ok(left == 0)
    }

    fn begins(&self, start: &[u8]) -> Begin {
        match start {
            [skippable @ 0x50..=0x5f, ..] => Begin::by_magic(&[*skippable, 0x2a, 0x4d, 0x18], start),
            _ => Begin::by_magic(&[0x28, 0xb5, 0x2f, 0xfd], start),
        }
    }
}
