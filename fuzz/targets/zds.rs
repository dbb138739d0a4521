//! See [`culvert_fuzz::zds`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::zds::run(data));
