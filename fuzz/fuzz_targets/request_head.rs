//! The parser of request heads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::http1connection::__fuzz::request_head(data));
