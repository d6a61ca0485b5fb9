//! Time as the machines see it: a number that the embedder hands in.

use core::fmt;
use core::time::Duration;

/// A point in time: nanoseconds since an epoch of the embedder's choice.
///
/// A machine never reads a clock; it is told. All arithmetic saturates, and [`Timestamp::NEVER`] is
/// the end of the scale, so that `Duration::MAX` means "not at all" wherever a time is added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(u64);

impl Timestamp {
    /// The epoch.
    pub const EPOCH: Self = Self(0);
    /// Later than every time that can come.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The time `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whether this time can come at all.
    #[must_use]
    #[inline]
    pub const fn is_never(self) -> bool {
        self.0 == u64::MAX
    }

    /// The time `span` later, [`Timestamp::NEVER`] where that is off the scale.
    #[must_use]
    #[inline]
    pub fn after(self, span: Duration) -> Self {
        self.after_nanos(nanos(span))
    }

    /// The time so many nanoseconds later.
    #[inline]
    pub(crate) const fn after_nanos(self, span: u64) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// The span from `earlier` to this time, zero where `earlier` is in fact later.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// Nanoseconds from `earlier` to this time, none where `earlier` is in fact later.
    #[must_use]
    #[inline]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A span in nanoseconds, `u64::MAX` where it does not fit.
#[must_use]
pub fn nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(span.subsec_nanos()))
}

impl fmt::Display for Timestamp {
    /// Milliseconds, with a fraction only where there is one: the notation of transcripts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() {
            return f.write_str("never");
        }
        let (millis, rest) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if rest == 0 { write!(f, "{millis}") } else { write!(f, "{millis}.{rest:06}") }
    }
}
