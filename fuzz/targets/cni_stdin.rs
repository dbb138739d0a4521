//! See [`culvert_fuzz::cni_stdin`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::cni_stdin::run(data));
