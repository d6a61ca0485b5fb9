//! `cargo +nightly fuzz run resolver_events` in `tests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qorb_tests::fuzz::resolver_events(bytes));
