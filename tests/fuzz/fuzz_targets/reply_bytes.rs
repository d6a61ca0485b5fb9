//! `cargo +nightly fuzz run reply_bytes` in `tests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qorb_tests::fuzz::reply_bytes(bytes));
