//! Backends die and return.

use std::time::Duration;

use qorb_core::Timestamp;

use super::super::report::{Line, Report};
use super::super::server::Down;
use super::super::world::Fleet;
use super::super::{Load, Size, policy};
use super::{USUAL, are_many, settled, spread_line};

/// How often a fleet is looked at to know its average.
const LOOKS: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);
/// The most connects on a dead backend, by each pool that tries.
const DIALS_A_SECOND: f64 = 1.0 / 5.0;
/// The most connects on a backend that returns, in 100 ms and by 1000 pools.
const PEAK: f64 = 25.0;
/// In a small fleet so many may coincide, and be no wave.
const COINCIDENCE: f64 = 4.0;
/// How many connects a second a backend accepts that returns.
const ACCEPTS: f64 = 100.0;

fn rate_line(fleet: &Fleet, span: Duration) -> Line {
    let rate = fleet.ledger.watched.dials_of_those_who_tried() / span.as_secs_f64();
    Line::at_most(DIALS_A_SECOND, "connects a second on a dead backend, by each pool that tries", rate)
}

pub(super) fn one_dies(size: Size) -> Report {
    const VICTIM: u32 = 0;
    let mut fleet = settled(size);
    let (had_it, were_many) = (fleet.connected_to(VICTIM), are_many(&fleet));
    fleet.call(USUAL);
    fleet.run_for(MINUTE);
    fleet.watch(VICTIM);
    fleet.kill([VICTIM], Down::Refuses);
    fleet.run_for(5 * MINUTE);
    let rate = rate_line(&fleet, 5 * MINUTE);
    fleet.watch(VICTIM);
    let returned = fleet.now;
    fleet.revive([VICTIM], ACCEPTS);
    fleet.run_for(2 * MINUTE);
    let watched = &fleet.ledger.watched;
    let after = |at: Option<Timestamp>| at.map_or(f64::INFINITY, |at| at.since(returned).as_secs_f64());
    let mut delays: Vec<f64> = had_it.iter().map(|pool| after(watched.connected[*pool])).collect();
    delays.sort_by(f64::total_cmp);
    // In a small fleet it may have been nobody's.
    let late = match delays.get(delays.len() * 95 / 100) {
        None if !were_many => None,
        late => Some(late.copied().unwrap_or(f64::INFINITY)),
    };
    let peak = (PEAK * size.pools as f64 / 1000.0).max(COINCIDENCE);
    let lines = vec![
        rate,
        Line::at_most(peak, "connects in 100 ms on the backend that returned", watched.peak as f64),
        Line::at_most(15.0, "seconds until 95 % of the pools had it back", late),
        Line::at_most(0.0, "claims denied", fleet.ledger.denied as f64),
    ];
    fleet.report("one-dies", lines)
}

pub(super) fn half_die(size: Size) -> Report {
    let half = || (0..size.backends as u32).step_by(2);
    let mut fleet = settled(size);
    fleet.call(USUAL);
    fleet.run_for(MINUTE);
    let before = fleet.ledger.clone();
    fleet.watch(0);
    fleet.kill(half(), Down::Refuses);
    let lost = fleet.ledger.lost - before.lost;
    fleet.run_for(MINUTE / 2);
    let restored = fleet.connections() as f64 / (size.pools * policy().spares_wanted) as f64;
    fleet.run_for(5 * MINUTE - MINUTE / 2);
    let survivors =
        spread_line(&fleet, "connections of the fullest survivor, by the mean", fleet.imbalance());
    let broken = (lost > 0).then(|| (fleet.ledger.broken - before.broken) as f64 / lost as f64);
    let rate = rate_line(&fleet, 5 * MINUTE);
    fleet.revive(half(), ACCEPTS);
    fleet.run_for(5 * MINUTE);
    let lines = vec![
        Line::at_most(0.0, "claims denied", fleet.ledger.denied as f64),
        Line::at_most(1.1, "claims broken for each connection that was lost", broken),
        Line::at_least(1.0, "of the spares are there again after 30 s", restored),
        rate,
        survivors,
        spread_line(&fleet, "connections of the fullest backend at the end, by the mean", fleet.imbalance()),
    ];
    fleet.report("half-die", lines)
}

pub(super) fn all_die(size: Size) -> Report {
    let all = || 0..size.backends as u32;
    let wanted = (size.pools * policy().spares_wanted) as f64;
    let mut fleet = settled(size);
    fleet.call(USUAL);
    fleet.run_for(MINUTE);
    fleet.watch(0);
    fleet.kill(all(), Down::Refuses);
    fleet.run_for(10 * MINUTE);
    let rate = rate_line(&fleet, 10 * MINUTE);
    fleet.revive(all(), ACCEPTS * size.pools as f64 / 1000.0);
    let (returned, before) = (fleet.now, fleet.ledger.clone());
    while (fleet.connections() as f64) < 0.95 * wanted && fleet.now.since(returned) < 5 * MINUTE {
        fleet.run_for(Duration::from_millis(100));
    }
    let took = fleet.now.since(returned).as_secs_f64();
    // Whoever waited in vain has been told by then.
    fleet.run_for(policy().claim_timeout);
    let denied = fleet.ledger.denied;
    let mut least = f64::INFINITY;
    for _ in 0..120 {
        fleet.run_for(Duration::from_secs(1));
        least = least.min(fleet.connections() as f64 / wanted);
    }
    let failed = (fleet.ledger.failed_dials - before.failed_dials) as f64 / wanted;
    let lines = vec![
        rate,
        Line::at_most(30.0, "seconds until 95 % of the spares were there again", took),
        Line::at_most(1.0, "connects that failed after the return, for each spare", failed),
        Line::at_least(0.95, "of the spares stay", least),
        Line::at_most(0.0, "claims denied once they were there", (fleet.ledger.denied - denied) as f64),
        spread_line(&fleet, "connections of the fullest backend, by the mean", fleet.imbalance()),
    ];
    fleet.report("all-die", lines)
}

pub(super) fn rolling(size: Size) -> Report {
    const AWAY: Duration = Duration::from_secs(2);
    let mut fleet = settled(size);
    let imbalance = fleet.imbalance();
    let between = (size.span / size.backends as u32).max(AWAY * 2);
    fleet.call(USUAL);
    // At best, each connection that there is under this load is lost once.
    let mut ideal = 0.0;
    for _ in 0..LOOKS {
        fleet.run_for(MINUTE / 6);
        ideal += fleet.connections() as f64 / f64::from(LOOKS);
    }
    for server in 0..size.backends as u32 {
        fleet.kill([server], Down::Refuses);
        fleet.run_for(AWAY);
        fleet.revive([server], ACCEPTS);
        fleet.run_for(between - AWAY);
    }
    fleet.call(Load::None);
    fleet.run_for(5 * MINUTE);
    let disruptions = fleet.ledger.lost as f64 / ideal;
    let lines = vec![
        Line::at_most(1.05, "connections lost, for each that there was on average", disruptions),
        Line::at_most(imbalance, "connections of the fullest backend, by the mean", fleet.imbalance()),
        Line::at_most(0.0, "claims denied", fleet.ledger.denied as f64),
    ];
    fleet.report("rolling", lines)
}

pub(super) fn flapping(size: Size) -> Report {
    const HALF: Duration = Duration::from_millis(100);
    const TIMES: u32 = 300;
    let mut fleet = settled(size);
    fleet.call(USUAL);
    fleet.run_for(MINUTE);
    fleet.watch(0);
    let before = fleet.ledger.clone();
    for _ in 0..TIMES {
        fleet.publish(Some(0), HALF);
        fleet.run_for(HALF);
        fleet.publish(None, HALF);
        fleet.run_for(HALF);
    }
    let watched = &fleet.ledger.watched;
    let each = watched.dials_of_those_who_tried() / f64::from(TIMES);
    let on_it: u32 = watched.dials.iter().sum();
    let others = (fleet.ledger.dials - before.dials - u64::from(on_it)) as f64 / size.pools as f64;
    let failed = fleet.ledger.denied + fleet.ledger.broken;
    fleet.run_for(3 * MINUTE);
    let lines = vec![
        Line::at_most(0.0, "claims denied or broken", failed as f64),
        Line::at_most(1.0, "connects on it for each time that it joins, by each pool that tries", each),
        Line::at_most(4.0, "connects of a pool on others, in a minute", others),
        spread_line(&fleet, "connections of the fullest backend afterwards, by the mean", fleet.imbalance()),
    ];
    fleet.report("flapping", lines)
}
