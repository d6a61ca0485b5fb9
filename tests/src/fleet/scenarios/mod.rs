//! The scenarios, and the lines that they have to pass.
//!
//! - `calm`: nothing happens but use: steady, quiet, too much of it, callers who walk off.
//! - `trouble`: backends die and return, one, half, all, one after the other; or flap in the resolver's set.
//! - `alone`: one healthy backend among dead ones.

mod alone;
mod calm;
mod trouble;

use std::time::Duration;

use super::world::Fleet;
use super::{Load, Report, Size, policy};

/// The most that the fullest of 200 backends may have, by what an average one has, where that is 40 or more.
const IMBALANCE: f64 = 1.55;
/// So many standard deviations are that; where connections are few, chance weighs more.
const DEVIATIONS: f64 = 3.48;
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
}

/// All of them.
pub const SCENARIOS: [Scenario; 10] = [
    Scenario { name: "steady", about: "a caller a second in each pool", run: calm::steady },
    Scenario {
        name: "one-dies",
        about: "one backend dies for five minutes and returns",
        run: trouble::one_dies,
    },
    Scenario { name: "half-die", about: "every other backend dies and returns", run: trouble::half_die },
    Scenario {
        name: "all-die",
        about: "all are gone for ten minutes and accept slowly then",
        run: trouble::all_die,
    },
    Scenario { name: "rolling", about: "all are restarted, one after the other", run: trouble::rolling },
    Scenario { name: "one-of-n", about: "one healthy backend among 1 to 63 dead ones", run: alone::one_of_n },
    Scenario { name: "quiet", about: "nobody calls for 24 hours", run: calm::quiet },
    Scenario {
        name: "overload",
        about: "half as many callers again as there is room for",
        run: calm::overload,
    },
    Scenario {
        name: "cancelling",
        about: "of callers who have to wait, three in ten walk off",
        run: calm::cancelling,
    },
    Scenario { name: "flapping", about: "a backend leaves and joins every 100 ms", run: trouble::flapping },
];

impl Scenario {
    /// Runs it.
    ///
    /// # Panics
    ///
    /// Panics where a machine does.
    #[must_use]
    pub fn run(&self, size: Size) -> Report {
        (self.run)(size)
    }
}

/// A fleet that has come to rest.
fn settled(size: Size) -> Fleet {
    let mut fleet = Fleet::new(size, &policy());
    fleet.run_for(Duration::from_secs(120));
    fleet
}

/// The most that the fullest backend may have, by what an average one has.
fn fair(fleet: &Fleet) -> f64 {
    IMBALANCE.max(1.0 + DEVIATIONS / fleet.mean().sqrt())
}
