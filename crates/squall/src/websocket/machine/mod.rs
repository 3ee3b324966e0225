//! The machines: bytes in, events out.

pub mod __fuzz;
pub(super) mod deflate;
pub(super) mod extension;
pub(super) mod frame;
pub(super) mod handshake;
pub(super) mod mask;
pub(super) mod message;
pub(super) mod options;
pub(super) mod protocol;
pub(super) mod slices;

#[cfg(test)]
mod tests;
