//! `Range`, and what it selects.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::httputil::__fuzz::ranges(data));
