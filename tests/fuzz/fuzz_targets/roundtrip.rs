//! See `nhrp_fuzz::roundtrip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| nhrp_fuzz::roundtrip(octets));
