//! A fingerprint of a state, for explorers that remember millions of them.

/// Folds numbers into 128 bits, in two lanes that have nothing in common.
///
/// Each lane multiplies to the full width and folds the halves (the mixing of wyhash, Wang Yi, 2019).
/// It is fast and spreads well; it withstands no attacker, and none has a say in what is explored.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64, u64);

impl Digest {
    /// Of nothing yet.
    pub const EMPTY: Self = Self(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);

    /// Adds a number.
    pub fn push(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, 0x9e37_79b9_7f4a_7c15);
        self.1 = fold(self.1.rotate_left(23) ^ word, 0xd6e8_feb8_6659_fd93);
    }

    /// The fingerprint.
    #[must_use]
    pub fn finish(self) -> u128 {
        u128::from(self.0) << 64 | u128::from(self.1)
    }
}

fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product >> 64) as u64 ^ product as u64
}
