//! The decoder of WebSocket frames, with and without compression.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::websocket::__fuzz::frames(data));
