//! See [`culvert_fuzz::token`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::token::run(data));
