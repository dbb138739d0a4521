//! See [`culvert_fuzz::socks`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::socks::run(data));
