//! libFuzzer's entry to [`outlast_fuzz::handshake`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outlast_fuzz::handshake::run(data));
