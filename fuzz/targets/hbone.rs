//! See [`culvert_fuzz::hbone`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::hbone::run(data));
