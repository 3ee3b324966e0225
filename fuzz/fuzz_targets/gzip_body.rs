//! The reader of compressed request bodies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::http1connection::__fuzz::gzip_body(data));
