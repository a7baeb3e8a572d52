//! libFuzzer's entry to [`outlast_fuzz::snapshot`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outlast_fuzz::snapshot::run(data));
