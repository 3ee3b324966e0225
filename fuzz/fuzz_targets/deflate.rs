//! The reader, and the writer, of compressed WebSocket messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::websocket::__fuzz::deflate(data));
