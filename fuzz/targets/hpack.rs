//! See [`culvert_fuzz::hpack`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::hpack::run(data));
