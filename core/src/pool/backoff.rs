//! How long to leave a backend alone after its connects have failed.

use core::time::Duration;

use super::policy::SetConfig;
use crate::dice::Dice;
use crate::time::nanos;

/// The pause after the `failures`-th failed connect in a row: `min(cap, base · 2ⁿ)`, half of it fixed
/// and half drawn ("equal jitter", AWS Architecture Blog, "Exponential backoff and jitter", 2015), plus
/// the spread, and never above the cap.
///
/// Drawn anew for every attempt: pools that lost a backend together must not come back together.
pub(crate) fn pause(failures: u32, config: &SetConfig, dice: &mut Dice) -> Duration {
    let base = nanos(config.min_connection_backoff);
    let cap = nanos(config.max_connection_backoff);
    let doublings = failures.saturating_sub(1);
    let full = base.checked_shl(doublings).filter(|grown| grown >> doublings == base).unwrap_or(cap).min(cap);
    let jittered = full / 2 + dice.below((full / 2).saturating_add(1));
    let spread = nanos(dice.up_to(config.spread));
    Duration::from_nanos(jittered.saturating_add(spread).min(cap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(base_millis: u64, cap_millis: u64) -> SetConfig {
        SetConfig {
            min_connection_backoff: Duration::from_millis(base_millis),
            max_connection_backoff: Duration::from_millis(cap_millis),
            spread: Duration::ZERO,
            ..SetConfig::default()
        }
    }

    #[test]
    fn the_fixed_half_doubles_up_to_the_cap() {
        let table = [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 250), (7, 250), (64, 250), (200, 250)];
        for (failures, millis) in table {
            let drawn = pause(failures, &config(20, 500), &mut Dice::Fixed);
            assert_eq!(drawn, Duration::from_millis(millis), "after {failures} failures");
        }
    }

    #[test]
    fn every_attempt_draws_between_half_and_all_of_it() {
        let mut dice = Dice::Seeded(7);
        let drawn: alloc::vec::Vec<_> = (0..1000).map(|_| pause(3, &config(20, 500), &mut dice)).collect();
        let (least, most) = (drawn.iter().min(), drawn.iter().max());
        assert!(least >= Some(&Duration::from_millis(40)) && least < Some(&Duration::from_millis(41)));
        assert!(most <= Some(&Duration::from_millis(80)) && most > Some(&Duration::from_millis(79)));
    }

    #[test]
    fn spread_never_lifts_it_above_the_cap() {
        let config = SetConfig { spread: Duration::MAX, ..config(20, 500) };
        assert_eq!(pause(1, &config, &mut Dice::Seeded(1)), Duration::from_millis(500));
    }

    #[test]
    fn the_largest_of_everything_is_defined() {
        let config = SetConfig {
            min_connection_backoff: Duration::MAX,
            max_connection_backoff: Duration::MAX,
            ..SetConfig::default()
        };
        assert!(pause(u32::MAX, &config, &mut Dice::Seeded(1)) > Duration::from_secs(1 << 32));
    }
}
