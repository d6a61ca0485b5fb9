//! `cargo +nightly fuzz run log` in `tests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qorb_tests::fuzz::log(bytes));
