//! States by fingerprint.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The numbers of the states that were met.
#[derive(Debug)]
pub(super) struct Known(HashMap<u128, u32, BuildHasherDefault<AsItIs>>);

impl Known {
    pub(super) fn new() -> Self {
        Self(HashMap::default())
    }

    /// The number of the state with this fingerprint: `fresh` if it was not met before.
    pub(super) fn insert(&mut self, fingerprint: u128, fresh: u32) -> u32 {
        *self.0.entry(fingerprint).or_insert(fresh)
    }
}

/// A fingerprint needs no hashing.
#[derive(Default, Debug)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint is written whole")
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}
