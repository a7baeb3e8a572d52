//! libFuzzer's entry to [`outlast_fuzz::formats`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outlast_fuzz::formats::run(data));
