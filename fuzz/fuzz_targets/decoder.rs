//! libFuzzer's entry to [`outlast_fuzz::decoder`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outlast_fuzz::decoder::run(data));
