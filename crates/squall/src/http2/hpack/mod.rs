//! HPACK (RFC 7541), the compression of HTTP/2's fields.
//!
//! * [`Decoder`] turns header blocks into fields, [`Encoder`] fields into header blocks.
//! * [`table`] is the dynamic table of either, [`statics`] the static one.
//! * [`integer`] and [`huffman`] are the primitives, [`huffman_code`] the RFC's table of codes.
//! * [`text`] compares names in any case.

pub(crate) mod __fuzz;
mod decode;
mod encode;
mod huffman;
mod huffman_code;
mod integer;
mod statics;
mod table;
mod text;

pub(crate) use decode::{Decoder, Field};
pub(crate) use encode::Encoder;

#[cfg(test)]
mod tests;
