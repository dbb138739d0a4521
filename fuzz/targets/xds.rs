//! See [`culvert_fuzz::xds`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::xds::run(data));
