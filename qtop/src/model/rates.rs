//! How often something happens, from counters and timestamps.

use std::collections::VecDeque;
use std::time::Duration;

/// Frames that come faster than this, as when a backend comes or goes, are measured together with the next:
/// a count over a moment says nothing.
const SHORTEST: Duration = Duration::from_millis(500);
/// How many rates are remembered.
const MEMORY: usize = 120;

/// Says over which time a frame's counters are to be measured.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Stopwatch {
    latest: Option<(Option<u64>, Duration)>,
}

/// A frame's place in the measurements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lap {
    /// Nothing came before it.
    First,
    /// So long after the one before it that was measured.
    After(Duration),
    /// Too soon after it to be measured.
    TooSoon,
}

impl Stopwatch {
    /// A frame that was made at `at_ms` of its maker's clock, and came at `now` of ours. The maker's clock
    /// knows nothing of the way, so it is asked where it has one that went forward.
    pub fn lap(&mut self, at_ms: Option<u64>, now: Duration) -> Lap {
        let Some((was_at, was_now)) = self.latest else {
            self.latest = Some((at_ms, now));
            return Lap::First;
        };
        let theirs = at_ms.zip(was_at).and_then(|(at, was)| at.checked_sub(was)).filter(|span| *span > 0);
        let span = theirs.map_or_else(|| now.saturating_sub(was_now), Duration::from_millis);
        if span < SHORTEST {
            return Lap::TooSoon;
        }
        self.latest = Some((at_ms, now));
        Lap::After(span)
    }
}

/// One counter's rate.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rate {
    base: Option<u64>,
    per_second: Option<f64>,
    history: VecDeque<f64>,
}

impl Rate {
    /// Notes what the counter stands at. One that is less than it was has begun anew, and has no rate yet.
    pub fn count(&mut self, total: Option<u64>, lap: Lap) {
        let span = match lap {
            Lap::TooSoon => return,
            Lap::First => None,
            Lap::After(span) => Some(span),
        };
        let counted = total.zip(self.base).and_then(|(total, base)| total.checked_sub(base));
        self.base = total;
        #[expect(clippy::cast_precision_loss, reason = "a rate is read by people")]
        let rate = counted.zip(span).map(|(counted, span)| counted as f64 / span.as_secs_f64());
        self.per_second = rate;
        if let Some(rate) = rate {
            self.history.push_back(rate);
            if self.history.len() > MEMORY {
                self.history.pop_front();
            }
        }
    }

    /// Per second, of late.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// The latest rates, the oldest first.
    #[must_use]
    pub fn history(&self) -> &VecDeque<f64> {
        &self.history
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_rate_goes_by_the_makers_clock_where_that_went_forward() {
        let table = [
            // Two seconds there, however it travelled.
            ((Some(1_000), ms(0)), (Some(3_000), ms(100)), Lap::After(ms(2_000))),
            // No clock, or one that was set back.
            ((None, ms(0)), (None, ms(1_500)), Lap::After(ms(1_500))),
            ((Some(9_000), ms(0)), (Some(3_000), ms(1_500)), Lap::After(ms(1_500))),
            ((Some(9_000), ms(0)), (None, ms(700)), Lap::After(ms(700))),
            ((Some(1_000), ms(0)), (Some(1_010), ms(2_000)), Lap::TooSoon),
            ((Some(0), ms(0)), (Some(u64::MAX), ms(0)), Lap::After(ms(u64::MAX))),
        ];
        for (first, second, lap) in table {
            let mut stopwatch = Stopwatch::default();
            assert_eq!(stopwatch.lap(first.0, first.1), Lap::First);
            assert_eq!(stopwatch.lap(second.0, second.1), lap, "{first:?} {second:?}");
        }
    }

    #[test]
    fn an_early_frame_is_measured_together_with_the_next() {
        let (mut stopwatch, mut rate) = (Stopwatch::default(), Rate::default());
        for (total, at, per_second) in
            [(10, 0, None), (110, 1_000, Some(100.0)), (115, 1_050, Some(100.0)), (310, 2_000, Some(200.0))]
        {
            rate.count(Some(total), stopwatch.lap(None, ms(at)));
            assert_eq!(rate.per_second(), per_second, "at {at} ms");
        }
        assert_eq!(rate.history(), &[100.0, 200.0]);
    }

    #[test]
    fn a_counter_that_restarts_is_a_start() {
        let mut rate = Rate::default();
        let mut at = |total| {
            rate.count(total, Lap::After(ms(1_000)));
            rate.per_second()
        };
        assert_eq!(at(Some(u64::MAX)), None);
        assert_eq!(at(Some(3)), None, "it began anew");
        assert_eq!(at(Some(10)), Some(7.0));
        assert_eq!(at(None), None, "it is gone");
        assert_eq!(at(Some(20)), None);
        assert_eq!(at(Some(20)), Some(0.0));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut rate = Rate::default();
        for total in 0..1_000 {
            rate.count(Some(total), Lap::After(ms(1_000)));
        }
        assert_eq!(rate.history().len(), MEMORY);
    }
}
