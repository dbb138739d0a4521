//! See [`culvert_fuzz::records`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::records::run(data));
