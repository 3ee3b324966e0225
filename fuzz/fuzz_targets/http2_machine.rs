//! HTTP/2's protocol, without a socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::httpserver::__fuzz_http2_machine(data));
