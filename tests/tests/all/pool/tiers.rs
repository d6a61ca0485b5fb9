//! Priorities and weights: shares, turns, and tiers that open and close.

use std::collections::VecDeque;
use std::time::Duration;

use qorb_core::Timestamp;
use qorb_core::pool::{Policy, Return, SlotId, SlotKind};
use qorb_tests::pool_sim::{Conduct, Manners, PoolSim};

fn policy(spares_wanted: usize, max_slots: usize) -> Policy {
    Policy { spares_wanted, max_slots, ..Policy::default() }
}

/// Every operation fails.
fn dead() -> Manners {
    let fails = Conduct::Fails(0);
    Manners { connect: fails, check: fails, recycle: fails }
}

/// Claims so many times, with so many connections out at a time, and counts those of the first of two.
fn served_by(sim: &mut PoolSim, name: &str, claims: usize, at_a_time: usize) -> usize {
    let (mut held, mut served) = (VecDeque::<SlotId>::new(), 0);
    for _ in 0..claims {
        if held.len() == at_a_time {
            sim.give_back(held.pop_front().expect("some are held"), Return::Intact);
        }
        let slot = sim.claim_now();
        served += usize::from(sim.backend_of(slot) == name);
        held.push_back(slot);
        sim.run(1);
    }
    held.into_iter().for_each(|slot| sim.give_back(slot, Return::Intact));
    served
}

/// A backend dies with all its connections, which whoever claims next finds out.
fn dies(sim: &mut PoolSim, name: &str) {
    sim.behave(name, dead());
    let slot = sim.claim_now();
    assert_eq!(sim.backend_of(slot), name);
    sim.give_back(slot, Return::Broken);
    sim.run(0);
}

/// Lets time pass until this backend has a connection at rest, or none of any kind.
fn run_until(sim: &mut PoolSim, name: &str, rests: bool) -> Timestamp {
    let holds = |sim: &PoolSim| {
        let of = |of: &qorb_core::pool::BackendView<'_>| &*of.backend.name == name;
        let counts = sim.machine().census().find(of).map(|of| *of.counts).expect("it is known");
        if rests { counts.of(SlotKind::Unclaimed) > 0 } else { counts.total() == 0 }
    };
    while !holds(sim) {
        assert!(sim.now() < Timestamp::from_millis(600_000), "{}", sim.tell());
        sim.run(1);
    }
    sim.now()
}

#[test]
fn weights_of_three_and_one_make_shares_and_claims_of_three_and_one() {
    for at_a_time in [1, 2, 4, 8] {
        let mut sim = PoolSim::new(policy(8, 16), 1);
        sim.publish(&["a/0/3", "b/0/1"]);
        sim.run(61_000);
        assert_eq!((sim.slots_of("a"), sim.slots_of("b")), (6, 2));
        let served = served_by(&mut sim, "a", 400, at_a_time);
        assert!((290..=310).contains(&served), "{served} of 400, {at_a_time} at a time");
    }
}

#[test]
fn a_backend_without_weight_has_the_least_part_but_some() {
    let mut sim = PoolSim::new(policy(8, 16), 1);
    sim.publish(&["a/0/0", "b/0/100"]);
    sim.run(61_000);
    assert_eq!((sim.slots_of("a"), sim.slots_of("b")), (1, 7));
    let served = served_by(&mut sim, "a", 80, 1);
    assert!((8..=10).contains(&served), "{served} of 80");
}

#[test]
fn pools_of_one_connection_choose_by_weight() {
    let chooses_a = |seed| {
        let mut sim = PoolSim::new(policy(1, 1), seed);
        sim.publish(&["a/0/3", "b/0/1"]);
        sim.run(1);
        sim.slots_of("a")
    };
    let chosen: usize = (0..1_000).map(chooses_a).sum();
    assert!((710..=790).contains(&chosen), "{chosen} of 1000");
}

#[test]
fn equal_weights_are_no_weights_and_one_tier_is_no_tier() {
    let story = |suffix: &str| {
        let mut sim = PoolSim::new(policy(8, 8), 5);
        let names: Vec<_> = ["a", "b", "c"].iter().map(|name| format!("{name}{suffix}")).collect();
        sim.publish(&names.iter().map(String::as_str).collect::<Vec<_>>());
        sim.run(10);
        served_by(&mut sim, "a", 50, 3);
        let next = sim.machine().pick_order()[0];
        let next = sim.machine().backend(next).name.to_string();
        dies(&mut sim, &next);
        sim.run(120_000);
        sim.tell().replace(suffix, "")
    };
    assert_eq!(story("/7/100"), story(""));
}

#[test]
fn a_tier_behind_one_that_works_is_left_alone() {
    let mut sim = PoolSim::new(policy(8, 16), 1);
    sim.publish(&["a/1", "b/0"]);
    for _ in 0..16 {
        sim.claim();
    }
    sim.run(600_000);
    assert!(sim.dials.iter().all(|(_, name)| name == "b"), "{:?}", sim.dials);
}

#[test]
fn the_next_tier_opens_at_once_when_the_first_dies_and_closes_some_time_after_its_return() {
    let mut delays = Vec::new();
    for seed in 0..8 {
        let mut sim = PoolSim::new(policy(4, 16), seed);
        sim.publish(&["a/1", "b/0"]);
        sim.run(5_000);
        dies(&mut sim, "b");
        let claim = sim.claim();
        sim.run(100);
        let slot = sim.granted(claim).expect("served by the next tier");
        assert_eq!(sim.backend_of(slot), "a");
        sim.give_back(slot, Return::Intact);
        sim.run(100_000);
        assert_eq!((sim.slots_of("a"), sim.slots_of("b")), (4, 0));
        sim.behave("b", Manners::default());
        let back = run_until(&mut sim, "b", true);
        // Claims go there at once, and the others stay for a while.
        let slot = sim.claim_now();
        assert_eq!((sim.backend_of(slot), sim.slots_of("a")), ("b", 4));
        sim.give_back(slot, Return::Intact);
        delays.push(run_until(&mut sim, "a", false).since(back));
        sim.run(60_000);
        assert_eq!((sim.slots_of("a"), sim.slots_of("b")), (0, 4));
    }
    let in_time = Duration::from_secs(30)..=Duration::from_secs(60);
    assert!(delays.iter().all(|delay| in_time.contains(delay)), "{delays:?}");
    delays.dedup();
    assert_eq!(delays.len(), 8, "each is drawn");
}

#[test]
fn a_first_tier_that_comes_and_goes_costs_the_next_one_no_connection() {
    let mut sim = PoolSim::new(policy(4, 16), 1);
    sim.publish(&["a/1", "b/0"]);
    sim.run(5_000);
    for _ in 0..10 {
        dies(&mut sim, "b");
        sim.run(1_000);
        sim.behave("b", Manners::default());
        run_until(&mut sim, "b", true);
        sim.run(2_000);
        // It proves itself.
        let slot = sim.claim_now();
        assert_eq!(sim.backend_of(slot), "b");
        sim.give_back(slot, Return::Intact);
    }
    assert_eq!(sim.slots_of("a"), 4);
    assert_eq!(sim.dials.iter().filter(|(_, name)| name == "a").count(), 4);
}

#[test]
fn a_tier_that_keeps_one_connection_and_gets_no_more_does_not_keep_the_next_one_closed() {
    let mut sim = PoolSim::new(policy(2, 16), 1);
    sim.publish(&["a/1", "b/0"]);
    sim.run(5_000);
    let held = sim.claim_now();
    sim.run(0);
    dies(&mut sim, "b");
    let claim = sim.claim();
    sim.run(100);
    let slot = sim.granted(claim).expect("served by the next tier");
    assert_eq!((sim.backend_of(slot), sim.backend_of(held)), ("a", "b"));
}

#[test]
fn a_silent_first_tier_holds_up_who_waits_for_a_quarter_of_a_second() {
    let mut sim = PoolSim::new(policy(4, 16), 1);
    sim.behave("b", Manners::connecting(Conduct::Hangs));
    sim.publish(&["a/1", "b/0"]);
    let claim = sim.claim();
    sim.run(251);
    let slot = sim.granted(claim).expect("served by the next tier");
    assert_eq!(sim.backend_of(slot), "a");
}

#[test]
fn another_weight_moves_slots_and_another_priority_claims_and_no_connection_is_lost_for_it() {
    let slots = |sim: &PoolSim| (sim.slots_of("a"), sim.slots_of("b"));
    let mut sim = PoolSim::new(policy(8, 8), 1);
    sim.publish(&["a/0/1", "b/0/1"]);
    sim.run(10);
    assert_eq!(slots(&sim), (4, 4));
    let before = sim.dials.len();
    sim.publish(&["a/0/3", "b/0/1"]);
    sim.run(10);
    assert_eq!((slots(&sim), sim.dials.len() - before), ((6, 2), 2));
    sim.publish(&["a/0/3", "b/0/3"]);
    sim.run(10);
    assert_eq!((slots(&sim), sim.dials.len() - before), ((4, 4), 4));
    let mut sim = PoolSim::new(policy(4, 16), 1);
    sim.publish(&["a/0", "b/0"]);
    sim.run(61_000);
    assert_eq!(slots(&sim), (2, 2));
    sim.publish(&["a/1", "b/0"]);
    assert_eq!(slots(&sim), (2, 4), "at once");
    assert_eq!(served_by(&mut sim, "b", 10, 1), 10);
    sim.run(120_000);
    assert_eq!(slots(&sim), (0, 4));
}
