//! Randomness as a value: a seed in, the same numbers out, always.

use core::time::Duration;

use crate::time::nanos;

/// A source of random numbers that is part of a machine's state.
///
/// A machine forks one for each purpose, so that one more draw in one place moves nothing elsewhere.
/// The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
/// OOPSLA 2014); it is not cryptographic, and nothing that an attacker may guess is drawn from it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Dice {
    /// Numbers drawn from a seed.
    Seeded(u64),
    /// Always the lowest number.
    Fixed,
    /// Always the highest number: for the explorer, where a pause then is as long as its bound.
    Highest,
}

impl Dice {
    /// Dice for one purpose, independent of those for every other.
    #[must_use]
    pub fn fork(&self, purpose: u64) -> Self {
        match self {
            Self::Seeded(seed) => Self::Seeded(mix(seed ^ mix(purpose))),
            Self::Fixed => Self::Fixed,
            Self::Highest => Self::Highest,
        }
    }

    /// The next number of the full range.
    pub fn draw(&mut self) -> u64 {
        match self {
            Self::Seeded(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                mix(*state)
            }
            Self::Fixed => 0,
            Self::Highest => u64::MAX,
        }
    }

    /// A number in `0..bound`, 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let drawn = u128::from(self.draw()) * u128::from(bound);
        (drawn >> 64) as u64
    }

    /// A span in `0..=most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let bound = nanos(most).saturating_add(1);
        Duration::from_nanos(self.below(bound))
    }
}

/// SplitMix64's finaliser: every bit of `value` moves every bit of the result.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
