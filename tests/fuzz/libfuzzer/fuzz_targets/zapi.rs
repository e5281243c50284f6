//! See `fuzz::zapi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::zapi(octets));
