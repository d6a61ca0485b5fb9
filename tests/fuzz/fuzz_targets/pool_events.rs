//! `cargo +nightly fuzz run pool_events` in `tests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qorb_tests::fuzz::pool_events(bytes));
