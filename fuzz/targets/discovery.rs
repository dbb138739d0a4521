//! See [`culvert_fuzz::discovery`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::discovery::run(data));
