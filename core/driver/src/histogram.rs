//! How long things took: counted in classes, so that a duration costs one addition and no memory.

use std::time::Duration;

/// How often a duration was how long, in classes of powers of two.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Histogram {
    /// Nanoseconds. So many waiters may wait for so long that 64 bits would not do.
    sum: u128,
    classes: [u64; Self::CLASSES],
}

impl Histogram {
    /// How many classes there are. The last one holds everything that is longer than all others.
    pub const CLASSES: usize = 32;

    /// The class that ends at `2^class` microseconds: how many durations were shorter than that, and
    /// not shorter than half of it.
    #[must_use]
    pub fn class(&self, class: usize) -> u64 {
        self.classes.get(class).copied().unwrap_or(0)
    }

    /// Where a class ends.
    #[must_use]
    pub const fn bound(class: usize) -> Duration {
        Duration::from_micros(1 << class)
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        const SECOND: u128 = 1_000_000_000;
        Duration::new((self.sum / SECOND) as u64, (self.sum % SECOND) as u32)
    }

    /// A bound that `share` of all durations (0.5: half of them) kept; zero where there was none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (class, count) in self.classes.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return Self::bound(class);
            }
        }
        Duration::ZERO
    }

    /// Counts a duration of so many nanoseconds.
    #[inline]
    pub(crate) fn add(&mut self, nanos: u64) {
        self.classes[class_of(nanos)] += 1;
        self.sum += u128::from(nanos);
    }
}

fn class_of(nanos: u64) -> usize {
    let class = (u64::BITS - (nanos / 1000).leading_zeros()) as usize;
    class.min(Histogram::CLASSES - 1)
}
