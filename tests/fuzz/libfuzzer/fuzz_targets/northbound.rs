//! See `fuzz::northbound`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| drop(fuzz::northbound(octets)));
