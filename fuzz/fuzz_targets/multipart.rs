//! The parser of `multipart/form-data`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::httputil::__fuzz::multipart(data));
