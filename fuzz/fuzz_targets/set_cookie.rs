//! The client's parser of `Set-Cookie`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::httpclient::__fuzz_set_cookie(data));
