//! Frames of HTTP/2 into a server's connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::httpserver::__fuzz_http2_frames(data));
