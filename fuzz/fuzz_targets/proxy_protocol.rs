//! The header of the PROXY protocol, both versions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| squall::netutil::__fuzz_proxy_protocol(data));
