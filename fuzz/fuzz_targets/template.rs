//! The rewriter of templates.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::template::__fuzz::template(data));
