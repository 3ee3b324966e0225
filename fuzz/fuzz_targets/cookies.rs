//! The parser of `Cookie`, and the writer of `Set-Cookie`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::httputil::__fuzz::cookies(data));
