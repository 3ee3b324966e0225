//! Blocks of fields, and fields in blocks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::httpserver::__fuzz_hpack(data));
