//! See [`culvert_fuzz::dns`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::dns::run(data));
