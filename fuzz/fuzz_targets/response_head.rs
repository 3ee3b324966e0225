//! The parser of response heads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::http1connection::__fuzz::response_head(data));
