//! The scenarios in which the machine is better than the original, by their numbers.

use std::time::Duration;

use qorb_core::Timestamp;
use qorb_core::pool::{Denial, Policy, Return, SlotKind};
use qorb_tests::pool_sim::{Conduct, Manners, Outcome, PoolSim};

fn dead() -> Manners {
    Manners::connecting(Conduct::Fails(0))
}

fn silent() -> Manners {
    Manners::connecting(Conduct::Hangs)
}

fn policy(spares_wanted: usize, max_slots: usize) -> Policy {
    Policy { spares_wanted, max_slots, ..Policy::default() }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("b{number:02}")).collect()
}

fn publish(sim: &mut PoolSim, names: &[String]) {
    sim.publish(&names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn s23_one_healthy_backend_is_found_among_refusing_ones_and_keeps_its_connections() {
    for refusing in [8, 20, 63] {
        let mut sim = PoolSim::new(Policy::default(), 7);
        let names = names(refusing + 1);
        for name in &names[1..] {
            sim.behave(name, dead());
        }
        let claim = sim.claim();
        publish(&mut sim, &names);
        sim.run(50);
        let slot =
            sim.granted(claim).unwrap_or_else(|| panic!("beside {refusing}: {:?}", sim.outcome(claim)));
        assert_eq!(sim.backend_of(slot), "b00");
        sim.give_back(slot, Return::Intact);
        sim.run(120_000);
        let to_healthy = sim.dials.iter().filter(|(_, name)| name == "b00").count();
        assert!(to_healthy <= 10, "{to_healthy} connects to the healthy one beside {refusing}");
        assert!(sim.slots_of("b00") >= 8);
    }
}

#[test]
fn s24_the_cap_is_never_exceeded() {
    let mut one = PoolSim::new(policy(8, 1), 1);
    publish(&mut one, &names(5));
    one.run(10_000);
    assert_eq!(one.most_slots, 1);
    let mut three = PoolSim::new(policy(16, 16), 1);
    publish(&mut three, &names(3));
    three.run(10_000);
    assert_eq!(three.most_slots, 16);
    let mut two = PoolSim::new(Policy::default(), 1);
    two.publish(&["a"]);
    two.run(10);
    for _ in 0..16 {
        two.claim_now();
        two.run(1);
    }
    two.publish(&["a", "b"]);
    two.run(300_000);
    assert_eq!((two.most_slots, two.slots_of("b")), (16, 0));
}

#[test]
fn s25_without_spares_a_claim_opens_one_connection_and_gets_it() {
    let mut sim = PoolSim::new(policy(0, 16), 1);
    publish(&mut sim, &names(3));
    sim.run(10_000);
    assert_eq!(sim.dials.len(), 0);
    let claim = sim.claim();
    sim.run(0);
    assert!(sim.granted(claim).is_some());
    sim.run(10_000);
    assert_eq!(sim.dials.len(), 1);
}

#[test]
fn s27_a_third_failing_on_acquire_ends_the_claim() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["a"]);
    sim.run(2_000);
    let claim = sim.claim();
    for _ in 0..3 {
        sim.run(100);
        let slot = sim.granted(claim).expect("granted once more");
        assert_eq!(sim.machine().census().next().map(|view| view.in_set), Some(true));
        sim.fail_acquire(slot, claim);
    }
    assert!(matches!(sim.outcome(claim), Some(Outcome::Denied(Denial::AcquireFailed, _))));
    assert!(sim.machine().census().all(|view| view.suspect));
}

#[test]
fn s30_the_same_name_at_a_new_address_is_followed() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["a"]);
    sim.run(10);
    let old = sim.claim_now();
    sim.publish(&["a@2"]);
    sim.run(10);
    let slot = sim.claim_now();
    let backend = sim.machine().backend(sim.machine().backend_of(slot));
    assert_eq!(backend.address.port(), 1002);
    sim.give_back(old, Return::Intact);
    assert_eq!(sim.machine().draining().total(), 0, "closed when it came back");
}

#[test]
fn s33_claims_are_served_in_strict_order() {
    let mut sim = PoolSim::new(policy(1, 1), 1);
    sim.publish(&["a"]);
    sim.run(10);
    let mut held = sim.claim_now();
    let waiting: Vec<_> = (0..50).map(|_| sim.claim()).collect();
    for claim in waiting {
        sim.give_back(held, Return::Intact);
        held = sim.granted(claim).expect("the next in order");
    }
}

#[test]
fn s34_after_sixty_flaps_claims_are_still_even() {
    let mut sim = PoolSim::new(Policy::default(), 3);
    sim.publish(&["a", "b", "c"]);
    for _ in 0..60 {
        sim.run(50);
        sim.publish(&["a", "b"]);
        sim.run(50);
        sim.publish(&["a", "b", "c"]);
    }
    sim.run(120_000);
    let mut served = std::collections::BTreeMap::new();
    for _ in 0..300 {
        let slot = sim.claim_now();
        *served.entry(sim.backend_of(slot).to_owned()).or_insert(0) += 1;
        sim.give_back(slot, Return::Intact);
    }
    assert!(served.values().all(|count| (90..=110).contains(count)), "{served:?}");
}

/// Spoils or stretches one field.
type Change = fn(&mut Policy);

#[test]
fn s35_a_policy_that_cannot_work_is_refused_by_the_name_of_its_field() {
    let refused: [(&str, Change); 8] = [
        ("max_slots", |policy| policy.max_slots = 0),
        ("set_config.max_count", |policy| policy.set_config.max_count = 0),
        ("set_config.max_connection_backoff", |policy| {
            policy.set_config.max_connection_backoff = Duration::ZERO;
        }),
        ("rebalance_interval", |policy| policy.rebalance_interval = Duration::ZERO),
        ("set_config.min_connection_backoff", |policy| {
            policy.set_config.min_connection_backoff = Duration::ZERO;
        }),
        ("set_config.health_interval", |policy| policy.set_config.health_interval = Duration::ZERO),
        ("set_config.health_check_timeout", |policy| policy.set_config.health_check_timeout = Duration::ZERO),
        ("set_config.connect_timeout", |policy| policy.set_config.connect_timeout = Duration::ZERO),
    ];
    for (field, spoil) in refused {
        let mut policy = Policy::default();
        spoil(&mut policy);
        assert_eq!(policy.validate().map_err(|error| error.field), Err(field));
    }
}

#[test]
fn s35_every_other_extreme_has_a_meaning() {
    let defined: [Change; 10] = [
        |policy| policy.spares_wanted = usize::MAX,
        |policy| policy.spares_wanted = 0,
        |policy| policy.rebalance_interval = Duration::MAX,
        |policy| policy.claim_timeout = Duration::MAX,
        |policy| policy.max_waiting = usize::MAX,
        |policy| policy.set_config.max_count = usize::MAX,
        |policy| policy.set_config.max_connection_backoff = Duration::MAX,
        |policy| policy.set_config.spread = Duration::MAX,
        |policy| policy.set_config.health_interval = Duration::MAX,
        |policy| policy.set_config.connect_timeout = Duration::MAX,
    ];
    for (number, stretch) in defined.into_iter().enumerate() {
        let mut policy = Policy::default();
        stretch(&mut policy);
        let mut sim = PoolSim::new(policy, 1);
        sim.behave("b", dead());
        sim.publish(&["a", "b"]);
        for _ in 0..20 {
            let claim = sim.claim();
            sim.run(500);
            let slot = sim.granted(claim).unwrap_or_else(|| panic!("extreme {number}"));
            sim.give_back(slot, Return::Intact);
        }
        sim.run(200_000);
    }
    let mut everything = PoolSim::new(policy(usize::MAX, usize::MAX), 1);
    everything.publish(&["a", "b"]);
    everything.run(100);
    assert_eq!(everything.slots_of("a") + everything.slots_of("b"), 32, "max_count each");
    let mut unbounded = PoolSim::new(policy(20, usize::MAX), 1);
    unbounded.publish(&["a", "b"]);
    unbounded.run(1000);
    assert_eq!(unbounded.machine().wanted().of(SlotKind::Unclaimed), 20);
}

#[test]
fn s36_the_pool_grows_back_to_its_spares_without_a_tick() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["a"]);
    sim.run(10);
    for claimed in 1..=8 {
        sim.claim_now();
        sim.run(1);
        assert_eq!(sim.machine().wanted().of(SlotKind::Unclaimed), 8, "after claim {claimed}");
    }
}

#[test]
fn s37_eight_claims_at_once_open_eight_connections_at_once() {
    let mut sim = PoolSim::new(policy(1, 16), 1);
    sim.behave("a", Manners::connecting(Conduct::Ok(100)));
    sim.publish(&["a"]);
    let claims: Vec<_> = (0..8).map(|_| sim.claim()).collect();
    sim.run(200);
    assert!(claims.iter().all(|claim| sim.granted(*claim).is_some()), "{}", sim.tell());
}

#[test]
fn s38_claims_never_wait_for_routine_checks() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.behave("a", Manners { check: Conduct::Ok(200), ..Manners::default() });
    sim.publish(&["a"]);
    sim.run(29_000);
    for _ in 0..2_000 {
        let slot = sim.claim_now();
        sim.run(1);
        sim.give_back(slot, Return::Intact);
    }
}

#[test]
fn s39_a_connect_that_hangs_is_bounded_counted_and_tried_again() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.behave("a", silent());
    sim.publish(&["a"]);
    sim.run(9_999);
    assert_eq!(sim.dials.len(), 1);
    sim.run(1);
    assert_eq!(sim.machine().census().next().map(|view| view.failures), Some(1));
    sim.run(100);
    assert_eq!(sim.dials.len(), 2);
}

#[test]
fn s40_shrinking_among_reconnecting_slots_reaches_its_goal_in_one_step() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["a"]);
    sim.run(10);
    let held: Vec<_> = (0..8).map(|_| sim.claim_now()).collect();
    sim.run(1);
    assert_eq!(sim.slots_of("a"), 16);
    // Six of the sixteen are lost, and their replacements hang when demand falls to eight.
    sim.behave("a", silent());
    for slot in &held[..6] {
        sim.give_back(*slot, Return::Detached);
    }
    for slot in &held[6..] {
        sim.give_back(*slot, Return::Intact);
    }
    sim.run(1_000);
    let connecting = sim.machine().wanted().of(SlotKind::Connecting);
    let before = sim.machine().wanted().connected();
    sim.run(60_000);
    assert_eq!(
        sim.machine().wanted().live(),
        8,
        "{connecting} were connecting beside {before}\n{}",
        sim.tell()
    );
}

#[test]
fn s41_one_healthy_among_sixty_three_silent_ones_is_found_within_two_seconds() {
    for seed in 0..20 {
        let mut sim = PoolSim::new(Policy::default(), seed);
        let names = names(64);
        for name in &names[1..] {
            sim.behave(name, silent());
        }
        let claim = sim.claim();
        publish(&mut sim, &names);
        sim.run(2_000);
        assert!(sim.granted(claim).is_some(), "seed {seed}");
    }
}

#[test]
fn where_a_connect_may_take_for_ever_a_backend_that_was_up_does_not_keep_claims_from_another() {
    for silent_one in ["a", "b"] {
        let mut policy = policy(0, 2);
        policy.set_config.connect_timeout = Duration::MAX;
        let mut sim = PoolSim::new(policy, 1);
        sim.publish(&["a", "b"]);
        // Both are up, and then nothing is connected, which nobody was to blame for.
        let held = [sim.claim_by(Timestamp::NEVER), sim.claim_by(Timestamp::NEVER)];
        sim.run(1);
        sim.behave(silent_one, silent());
        for claim in held {
            let slot = sim.granted(claim).expect("both are up");
            sim.give_back(slot, Return::Detached);
        }
        let claim = sim.claim_by(Timestamp::NEVER);
        sim.run(300);
        assert!(sim.granted(claim).is_some(), "C11: {silent_one} is silent\n{}", sim.tell());
    }
}

#[test]
fn s42_at_the_cap_a_dead_backend_is_dialled_at_the_first_return_after_its_pause() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.behave("b", dead());
    sim.publish(&["a", "b"]);
    sim.run(10);
    let held: Vec<_> = (0..16).map(|_| sim.claim_within(100).1).collect();
    sim.behave("b", Manners::default());
    // The longest pause is thirty seconds: b is due by now, but there is no room.
    sim.run(35_000);
    let before = sim.dials.len();
    assert_eq!(sim.slots_of("b"), 0);
    sim.give_back(held[0], Return::Intact);
    sim.run(1);
    assert_eq!(sim.dials.len(), before + 1, "{}", sim.tell());
    assert_eq!(sim.slots_of("b"), 1);
}

#[test]
fn s43_a_second_backend_gets_its_share_of_a_full_idle_pool() {
    let mut sim = PoolSim::new(policy(16, 16), 1);
    sim.publish(&["a"]);
    sim.run(10);
    assert_eq!(sim.slots_of("a"), 16);
    sim.publish(&["a", "b"]);
    sim.run(120_000);
    assert_eq!((sim.slots_of("a"), sim.slots_of("b")), (8, 8));
    assert_eq!(sim.most_slots, 16);
}

#[test]
fn backends_that_are_up_but_answer_nothing_leave_a_dial_for_one_that_works() {
    let mut policy = Policy { max_slots: 128, spares_wanted: 4, ..Policy::default() };
    policy.set_config.max_connection_backoff = policy.set_config.min_connection_backoff;
    let mut sim = PoolSim::new(policy, 7);
    let names = ["a", "b", "c", "d"];
    sim.publish(&names);
    sim.run(1_000);
    for name in names {
        sim.behave(name, Manners::connecting(Conduct::Hangs));
    }
    // Each has a connection in somebody's hands, so that it is up, whatever its connects do.
    let held: Vec<_> = names.iter().map(|_| sim.claim_now()).collect();
    assert!(names.iter().all(|name| held.iter().any(|slot| sim.backend_of(*slot) == *name)));
    // One after the other, so that their connects are given up one after the other too, and whenever one
    // is, some backend that is up does not pause.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(sim.claim_by(Timestamp::NEVER));
        sim.run(10);
    }
    sim.publish(&["a", "b", "c", "d", "e"]);
    sim.run(60_000);
    let served = waiting.iter().filter_map(|claim| sim.granted(*claim));
    let by_e = served.filter(|slot| sim.backend_of(*slot) == "e").count();
    assert!(by_e > 0, "C11: nobody is served by the one backend that works");
}
