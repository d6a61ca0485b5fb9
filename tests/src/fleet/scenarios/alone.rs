//! One healthy backend among dead ones.

use std::time::Duration;

use qorb_core::pool::Policy;

use super::super::report::{Line, Report};
use super::super::server::Down;
use super::super::world::Fleet;
use super::super::{Load, Size, policy};

/// The most backends.
pub(super) const MOST: usize = 64;
/// What is true of one pool is true of few.
pub(super) const POOLS: usize = 20;

/// Every pool has one caller who comes back at once; half of the dead refuse, the others are silent.
pub(super) fn one_of_n(size: Size) -> Report {
    among(size, &policy())
}

/// The log is that of the first fleet in which anything is wrong, or of the last one.
fn among(size: Size, policy: &Policy) -> Report {
    let (mut closed, mut failed, mut unserved, mut wait) = (0, 0, 0, Duration::ZERO);
    let (mut first_wrong, mut latest, mut events) = (None, None, 0);
    for backends in 2..=size.backends.min(MOST) as u32 {
        let size = Size { pools: size.pools.min(POOLS), backends: backends as usize, ..size };
        let mut fleet = Fleet::new(size, policy);
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
        let wrong = first_wrong.is_none() && !lines(failed, unserved, closed, wait).iter().all(Line::holds);
        *(if wrong { &mut first_wrong } else { &mut latest }) = Some(fleet);
    }
    let fleet = first_wrong.or(latest).expect("there are two backends");
    Report { events, ..fleet.report("one-of-n", lines(failed, unserved, closed, wait)) }
}

fn lines(failed: u64, unserved: usize, closed: u64, wait: Duration) -> Vec<Line> {
    vec![
        Line::at_most(0.0, "claims denied or broken, over all N", failed as f64),
        Line::at_most(0.0, "callers without a connection at the end", unserved as f64),
        Line::at_most(0.0, "connections to the healthy one that were closed", closed as f64),
        Line::at_most(2.0, "seconds that a claim waited", wait.as_secs_f64()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_that_of_the_first_fleet_in_which_anything_is_wrong() {
        let size = Size { pools: 1, backends: 6, span: Duration::ZERO, seed: 1, onlooker: |_| () };
        let well = among(size, &policy());
        assert!(well.passes() && well.log.contains(" b6@"), "{}", well.log);
        // No claim is served by this policy where it has to wait for a connect.
        let impatient = Policy { spares_wanted: 0, claim_timeout: Duration::ZERO, ..policy() };
        let broken = among(size, &impatient);
        assert!(
            !broken.passes() && broken.log.contains(" b2@") && !broken.log.contains(" b3@"),
            "{}",
            broken.log
        );
    }
}
