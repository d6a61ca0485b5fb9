//! The scenarios, and the lines that they have to pass.
//!
//! - `calm`: nothing happens but use: steady, quiet, too much of it, callers who walk off.
//! - `trouble`: backends die and return, one, half, all, one after the other; or flap in the resolver's set.
//! - `alone`: one healthy backend among dead ones.

mod alone;
mod calm;
mod trouble;

use std::time::Duration;

use super::report::Line;
use super::world::Fleet;
use super::{LEAST, Load, Report, Size, policy};
use crate::panics::contained;
use crate::walk::is_same;

/// The most that the fullest of 200 backends may have, by what an average one has, where that is 40 or more.
const IMBALANCE: f64 = 1.55;
/// So many standard deviations are that; where connections are few, chance weighs more.
const DEVIATIONS: f64 = 3.48;
/// Below so many connections of an average backend, chance says nothing of that kind.
const FEW: f64 = 10.0;
/// A caller a second in each pool, who does not stay long.
const USUAL: Load =
    Load::Open { gap: Duration::from_secs(1), hold: Duration::from_millis(20), cancelling: 0 };

/// A scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    run: fn(Size) -> Report,
    heeds: Heeds,
}

/// What of a size makes a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Heeds {
    All,
    /// It has a length of its own.
    PoolsAndBackends,
    /// And so many backends and pools at most.
    Few,
}

/// All of them.
pub const SCENARIOS: [Scenario; 10] = [
    Scenario {
        name: "steady",
        about: "a caller a second in each pool",
        run: calm::steady,
        heeds: Heeds::All,
    },
    Scenario {
        name: "one-dies",
        about: "one backend dies for five minutes and returns",
        run: trouble::one_dies,
        heeds: Heeds::PoolsAndBackends,
    },
    Scenario {
        name: "half-die",
        about: "every other backend dies and returns",
        run: trouble::half_die,
        heeds: Heeds::PoolsAndBackends,
    },
    Scenario {
        name: "all-die",
        about: "all are gone for ten minutes and accept slowly then",
        run: trouble::all_die,
        heeds: Heeds::PoolsAndBackends,
    },
    Scenario {
        name: "rolling",
        about: "all are restarted, one after the other",
        run: trouble::rolling,
        heeds: Heeds::All,
    },
    Scenario {
        name: "one-of-n",
        about: "one healthy backend among 1 to 63 dead ones",
        run: alone::one_of_n,
        heeds: Heeds::Few,
    },
    Scenario {
        name: "quiet",
        about: "nobody calls for 24 hours",
        run: calm::quiet,
        heeds: Heeds::PoolsAndBackends,
    },
    Scenario {
        name: "overload",
        about: "half as many callers again as there is room for",
        run: calm::overload,
        heeds: Heeds::All,
    },
    Scenario {
        name: "cancelling",
        about: "of callers who have to wait, three in ten walk off",
        run: calm::cancelling,
        heeds: Heeds::All,
    },
    Scenario {
        name: "flapping",
        about: "a backend leaves and joins every 100 ms",
        run: trouble::flapping,
        heeds: Heeds::PoolsAndBackends,
    },
];

impl Scenario {
    /// Runs it.
    ///
    /// # Errors
    ///
    /// Says with what a machine panicked.
    pub fn run(&self, size: Size) -> Result<Report, String> {
        contained(|| Ok((self.run)(size)))
    }

    /// The smallest fleet in which a line fails that failed in this one too, or in which a machine panics as one did
    /// here, and what comes of it: pools, backends and time are halved for as long as that is so, down to
    /// [`LEAST`].
    pub fn shrink(&self, size: Size, mut ended: Result<Report, String>) -> (Size, Result<Report, String>) {
        let (first, mut size) = (ended.clone(), self.heeded(size));
        let is_alike = |other: &Result<Report, String>| match (&first, other) {
            (Ok(one), Ok(other)) => other.failed().any(|line| one.failed().any(|same| same == line)),
            (Err(one), Err(other)) => is_same(one, other),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        let smaller = |size| {
            let halves = self.halves(size).into_iter().map(|half| (half, self.run(half)));
            halves.into_iter().find(|(_, other)| is_alike(other))
        };
        while let Some(found) = smaller(size) {
            (size, ended) = found;
        }
        (size, ended)
    }

    /// The same without what makes no difference.
    fn heeded(&self, size: Size) -> Size {
        match self.heeds {
            Heeds::All | Heeds::PoolsAndBackends => size,
            Heeds::Few => {
                Size { pools: size.pools.min(alone::POOLS), backends: size.backends.min(alone::MOST), ..size }
            }
        }
    }

    /// All that are half as large in some way which makes a difference.
    fn halves(&self, size: Size) -> Vec<Size> {
        let half_of = |number: usize, least: usize| (number / 2).max(least).min(number);
        let millis = |span: Duration| usize::try_from(span.as_millis()).expect("fewer than many years");
        let span = half_of(millis(size.span), millis(LEAST.span)) as u64;
        let pools = Size { pools: half_of(size.pools, LEAST.pools), ..size };
        let backends = Size { backends: half_of(size.backends, LEAST.backends), ..size };
        let span = Size { span: Duration::from_millis(span), ..size };
        let mut halves = Vec::new();
        halves.extend(Some(pools).filter(|half| half.pools < size.pools));
        halves.extend(Some(span).filter(|half| self.heeds == Heeds::All && half.span < size.span));
        halves.extend(Some(backends).filter(|half| half.backends < size.backends));
        halves
    }
}

/// A fleet that has come to rest.
fn settled(size: Size) -> Fleet {
    let mut fleet = Fleet::new(size, &policy());
    fleet.run_for(Duration::from_secs(120));
    fleet
}

/// The imbalance of a fleet, which may be as large as chance makes it. Where few connections are wanted, that
/// says nothing.
fn spread_line(fleet: &Fleet, what: &str, imbalance: f64) -> Line {
    let limit = IMBALANCE.max(1.0 + DEVIATIONS / fleet.mean().sqrt());
    Line::at_most(limit, what, are_many(fleet).then_some(imbalance))
}

/// Whether a backend that is up should have so many connections that chance evens them out.
fn are_many(fleet: &Fleet) -> bool {
    fleet.wanted_of_each() >= FEW
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static RUNS: AtomicUsize = AtomicUsize::new(0);

    /// Fails wherever there are 33 pools, 25 backends and twenty minutes.
    fn fails_when_large(size: Size) -> Report {
        RUNS.fetch_add(1, Ordering::Relaxed);
        let mut fleet = Fleet::new(size, &policy());
        fleet.run_for(size.span);
        let large = size.pools >= 33 && size.backends >= 25 && size.span >= Duration::from_secs(1_200);
        let lines = vec![
            Line::at_most(1.0, "never", 0.0),
            Line::at_most(0.0, "large", f64::from(u8::from(large))),
            Line::at_most(63.0, "as large as it gets", size.pools as f64),
            Line::at_most(0.0, "what there is in large fleets alone", large.then_some(0.0)),
        ];
        fleet.report("fails_when_large", lines)
    }

    fn always_fails(size: Size) -> Report {
        RUNS.fetch_add(1, Ordering::Relaxed);
        Fleet::new(size, &policy()).report("always_fails", vec![Line::at_most(0.0, "never", f64::NAN)])
    }

    fn shrunk(heeds: Heeds, run: fn(Size) -> Report, size: Size) -> (Size, Report, usize) {
        let scenario = Scenario { name: "fails", about: "so that it is shrunk", run, heeds };
        let report = scenario.run(size).expect("no machine panics");
        RUNS.store(0, Ordering::Relaxed);
        let (size, least) = scenario.shrink(size, Ok(report.clone()));
        let least = least.expect("no machine panics in a smaller one");
        assert!(least.log.len() <= report.log.len() && !least.passes());
        (size, least, RUNS.load(Ordering::Relaxed))
    }

    /// Panics wherever there are 33 pools, otherwise where there are 25, and fails in smaller fleets.
    fn panics_when_large(size: Size) -> Report {
        assert!(size.pools < 33, "a machine panics");
        assert!(size.pools < 25, "it does so otherwise");
        let lines = vec![Line::at_most(0.0, "never", f64::NAN)];
        Fleet::new(size, &policy()).report("panics_when_large", lines)
    }

    #[test]
    fn a_fleet_that_panics_is_made_as_small_as_one_that_does() {
        let scenario = Scenario {
            name: "panics",
            about: "so that it is shrunk",
            run: panics_when_large,
            heeds: Heeds::All,
        };
        let large = size(140, 3, 2_400);
        let (least, ended) = scenario.shrink(large, scenario.run(large));
        assert_eq!((least.pools, ended.expect_err("it panics").as_str()), (35, "panicked: a machine panics"));
        // One that fails otherwise is another one.
        let small = size(24, 3, 2_400);
        let (least, ended) = scenario.shrink(small, scenario.run(small));
        assert_eq!(numbers(least), (LEAST.pools, 3, LEAST.span.as_secs()));
        assert!(!ended.expect("it does not panic").passes());
    }

    fn size(pools: usize, backends: usize, secs: u64) -> Size {
        Size { pools, backends, span: Duration::from_secs(secs), ..LEAST }
    }

    fn numbers(size: Size) -> (usize, usize, u64) {
        (size.pools, size.backends, size.span.as_secs())
    }

    #[test]
    fn a_failing_fleet_is_made_as_small_as_it_can_be() {
        let (least, report, _) = shrunk(Heeds::All, fails_when_large, size(140, 100, 2_400));
        assert_eq!(numbers(least), (35, 25, 1_200));
        assert_eq!(report.failed().collect::<Vec<_>>(), [1]);
        // What always fails is not made so small that it fails for its smallness, and nothing grows.
        let at_last = numbers(LEAST);
        assert_eq!(numbers(shrunk(Heeds::All, always_fails, size(1_000, 200, 3_600)).0), at_last);
        let (least, _, runs) = shrunk(Heeds::All, always_fails, size(2, 3, 10));
        assert_eq!((numbers(least), runs), ((2, 3, 10), 0));
        // A size that makes no difference is not tried out.
        let (least, _, runs) = shrunk(Heeds::PoolsAndBackends, always_fails, size(40, 10, 3_600));
        assert_eq!((numbers(least), runs), ((20, 10, 3_600), 1));
        let (least, _, runs) = shrunk(Heeds::Few, always_fails, size(1_000, 200, 3_600));
        assert_eq!((numbers(least), runs), ((20, 10, 3_600), 3));
    }

    #[test]
    fn what_a_fleet_is_too_small_for_is_not_measured() {
        let unmeasured = |run: fn(Size) -> Report, pools, backends| {
            let report = run(size(pools, backends, 10));
            assert!(report.passes(), "{:?}", report.lines);
            let numbered = report.lines.iter().enumerate();
            numbered.filter(|(_, line)| line.measured.is_none()).map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert_eq!(unmeasured(trouble::one_dies, 1, 200), [2]);
        assert_eq!(unmeasured(trouble::half_die, 1, 200), [4, 5]);
        assert_eq!(unmeasured(calm::steady, 1, 200), [0]);
        assert_eq!(unmeasured(calm::steady, 5, 4), [1]);
    }
}
