//! The WebSocket handshake, of either side, with its extensions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::websocket::__fuzz::handshake(data));
