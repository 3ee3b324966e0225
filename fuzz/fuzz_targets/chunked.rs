//! The decoder of chunked bodies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::http1connection::__fuzz::chunked(data));
