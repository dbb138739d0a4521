//! See [`culvert_fuzz::cluster`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::cluster::run(data));
