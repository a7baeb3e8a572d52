//! libFuzzer's entry to [`outlast_fuzz::session`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outlast_fuzz::session::run(data));
