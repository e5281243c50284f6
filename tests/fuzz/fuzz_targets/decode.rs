//! See `nhrp_fuzz::decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| nhrp_fuzz::decode(octets));
