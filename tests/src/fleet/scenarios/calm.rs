//! Nothing happens but use.

use std::time::Duration;

use qorb_core::pool::Policy;

use super::super::report::{Line, Report};
use super::super::world::Fleet;
use super::super::{Load, Size, policy};
use super::{USUAL, settled, spread_line};

/// How often a fleet is looked at.
const LOOKS: u32 = 20;
/// So many callers of a pool come together now and then, of the usual ones.
const AT_ONCE: usize = 3;
/// For how long the callers of a crowd hold their connections: so few of them do for much load.
const LONG: Duration = Duration::from_secs(10);

pub(super) fn steady(size: Size) -> Report {
    let mut fleet = settled(size);
    fleet.call(USUAL);
    let (mut imbalance, mut pairs) = (0.0_f64, 0);
    for _ in 0..LOOKS {
        fleet.run_for(size.span / LOOKS);
        imbalance = imbalance.max(fleet.imbalance());
        pairs = pairs.max(fleet.pairs());
    }
    let ledger = &fleet.ledger;
    // Of few backends a pool may well reach all.
    let most = policy().spares_wanted + AT_ONCE;
    let measured = (size.backends > most).then_some(pairs as f64);
    let lines = vec![
        spread_line(&fleet, "connections of the fullest backend, by the mean", imbalance),
        Line::at_most((size.pools * most) as f64, "pairs of pool and backend connected", measured),
        Line::at_most(0.0, "claims denied or broken", (ledger.denied + ledger.broken) as f64),
        Line::at_least(1.0, "claims served", ledger.served as f64),
    ];
    fleet.report("steady", lines)
}

pub(super) fn quiet(size: Size) -> Report {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let mut fleet = settled(size);
    let before = (fleet.ledger.dials, fleet.ledger.closed, fleet.ledger.events);
    let connections = fleet.connections();
    fleet.run_for(DAY);
    let ledger = &fleet.ledger;
    let intervals = DAY.as_secs_f64() / policy().set_config.health_interval.as_secs_f64();
    let events = (ledger.events - before.2) as f64 / (connections as f64 * intervals);
    let lines = vec![
        Line::at_most(0.0, "connects", (ledger.dials - before.0) as f64),
        Line::at_most(0.0, "connections closed", (ledger.closed - before.1) as f64),
        Line::at_least(connections as f64, "connections at the end", fleet.connections() as f64),
        Line::at_most(
            3.1,
            "events for each connection and health interval: a check, its end, a late timer",
            events,
        ),
        spread_line(&fleet, "connections of the fullest backend, by the mean", fleet.imbalance()),
    ];
    fleet.report("quiet", lines)
}

/// Callers who are as many times what the pools have room for.
fn crowd(times: f64, hold: Duration, cancelling: u64) -> Load {
    Load::Open { gap: hold.div_f64(policy().max_slots as f64 * times), hold, cancelling }
}

/// A fleet under this load, in which every pool has grown to its limit and stays there.
fn crowded(size: Size, load: Load) -> Fleet {
    let mut fleet = Fleet::new(size, &Policy { spares_wanted: policy().max_slots, ..policy() });
    fleet.call(load);
    fleet.run_for(Duration::from_secs(120));
    fleet
}

pub(super) fn overload(size: Size) -> Report {
    let mut fleet = crowded(size, crowd(1.5, LONG, 0));
    let before = fleet.ledger.clone();
    fleet.run_for(size.span);
    let after = fleet.ledger.clone();
    let imbalance = fleet.imbalance();
    fleet.call(crowd(0.25, LONG, 0));
    fleet.run_for(Duration::from_secs(120));
    let waiting: u32 = fleet.pools.iter().map(|pool| pool.machine.waiting()).sum();
    let room = (size.pools * policy().max_slots) as f64 * size.span.as_secs_f64();
    let made = (after.claims - before.claims) as f64;
    let patience = policy().claim_timeout.as_secs_f64();
    let lines = vec![
        Line::at_least(0.98, "of the room is used", (after.held - before.held).as_secs_f64() / room),
        Line::at_most(
            0.36,
            "of the claims are denied, a third being too many",
            (after.denied - before.denied) as f64 / made,
        ),
        Line::at_most(
            patience,
            "seconds that a claim waited which was served",
            after.longest_wait.as_secs_f64(),
        ),
        Line::at_most(0.0, "connections closed meanwhile", (after.closed - before.closed) as f64),
        spread_line(&fleet, "connections of the fullest backend, by the mean", imbalance),
        Line::at_most(0.0, "claims that wait two minutes after it is over", f64::from(waiting)),
    ];
    fleet.report("overload", lines)
}

pub(super) fn cancelling(size: Size) -> Report {
    let mut fleet = crowded(size, crowd(1.0, LONG / 2, 30));
    let before = fleet.ledger.clone();
    fleet.run_for(size.span);
    let after = fleet.ledger.clone();
    fleet.call(Load::None);
    fleet.run_for(Duration::from_secs(600));
    let ledger = &fleet.ledger;
    let made = (after.claims - before.claims) as f64;
    let answered = ledger.served + ledger.denied + ledger.cancelled;
    let idle: usize = fleet.pools.iter().map(|pool| pool.machine.wanted().held() as usize).sum();
    let lines = vec![
        Line::at_least(
            0.29,
            "of the callers walk off",
            (after.walking_off - before.walking_off) as f64 / made,
        ),
        Line::at_least(
            0.01,
            "of the claims are given up while they wait",
            (after.cancelled - before.cancelled) as f64 / made,
        ),
        Line::at_most(0.0, "claims denied", (after.denied - before.denied) as f64),
        Line::at_most(0.0, "connections closed meanwhile", (after.closed - before.closed) as f64),
        Line::at_most(0.0, "claims without an answer", (ledger.claims - answered) as f64),
        Line::at_most(0.0, "connections held once everybody has left", idle as f64),
    ];
    fleet.report("cancelling", lines)
}
