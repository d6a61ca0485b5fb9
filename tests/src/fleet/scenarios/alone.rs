//! One healthy backend among dead ones.

use std::time::Duration;

use super::super::report::{Line, Report};
use super::super::server::Down;
use super::super::world::Fleet;
use super::super::{Load, Size, policy};

/// The most backends.
const MOST: u32 = 64;
/// What is true of one pool is true of few.
const POOLS: usize = 20;

/// Every pool has one caller who comes back at once; half of the dead refuse, the others are silent.
pub(super) fn one_of_n(size: Size) -> Report {
    let (mut closed, mut failed, mut unserved, mut wait) = (0, 0, 0, Duration::ZERO);
    let mut latest = None;
    let mut events = 0;
    for backends in 2..=MOST {
        let size = Size { pools: (size.pools / 5).clamp(1, POOLS), backends: backends as usize, ..size };
        let mut fleet = Fleet::new(size, &policy());
        let healthy = backends / 2;
        fleet.kill((0..backends).filter(|n| *n != healthy && n % 2 == 0), Down::Refuses);
        fleet.kill((0..backends).filter(|n| *n != healthy && n % 2 == 1), Down::Hangs);
        fleet.run_for(Duration::from_secs(10));
        fleet.call(Load::Closed { hold: Duration::from_millis(20) });
        fleet.run_for(Duration::from_secs(60));
        let ledger = &fleet.ledger;
        closed += ledger.closed;
        failed += ledger.denied + ledger.broken;
        let at_work = fleet.pools.iter().filter(|pool| pool.machine.wanted().held() == 1).count();
        unserved += fleet.pools.len() - at_work;
        wait = wait.max(ledger.longest_wait);
        events += ledger.events;
        latest = Some(fleet);
    }
    let lines = vec![
        Line::at_most(0.0, "claims denied or broken, over all N", failed as f64),
        Line::at_most(0.0, "callers without a connection at the end", unserved as f64),
        Line::at_most(0.0, "connections to the healthy one that were closed", closed as f64),
        Line::at_most(2.0, "seconds that a claim waited", wait.as_secs_f64()),
    ];
    let fleet = latest.expect("there is an N");
    Report { events, ..fleet.report("one-of-n", lines) }
}
