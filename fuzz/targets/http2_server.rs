//! See [`culvert_fuzz::http2`].
#![no_main]

use culvert_core::tunnel::http2::Role;

libfuzzer_sys::fuzz_target!(|data: &[u8]| culvert_fuzz::http2::run(Role::Server, data));
