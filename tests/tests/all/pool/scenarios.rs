//! The scenarios that the machine decides alone, by their numbers.

use std::time::Duration;

use qorb_core::Timestamp;
use qorb_core::pool::{Denial, Policy, Return, SetConfig, SlotKind};
use qorb_tests::pool_sim::{Conduct, Manners, Outcome, PoolSim};

fn dead() -> Manners {
    Manners::connecting(Conduct::Fails(0))
}

fn policy(spares_wanted: usize, max_slots: usize) -> Policy {
    Policy { spares_wanted, max_slots, ..Policy::default() }
}

#[test]
fn s01_one_backend_serves_the_first_claim_from_its_first_connection_and_settles_at_the_spares() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["a"]);
    let claim = sim.claim();
    sim.run(0);
    assert_eq!(sim.granted(claim), Some(qorb_core::pool::SlotId(0)));
    sim.give_back(qorb_core::pool::SlotId(0), Return::Intact);
    sim.run(120_000);
    assert_eq!(sim.machine().wanted().of(SlotKind::Unclaimed), 8);
    assert_eq!(sim.slots_of("a"), 8);
}

#[test]
fn s02_a_claim_is_granted_right_after_a_backend_is_published_and_not_before() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    let claim = sim.claim();
    sim.run(100);
    assert_eq!(sim.outcome(claim), None);
    sim.publish(&["a"]);
    sim.run(0);
    assert!(matches!(sim.outcome(claim), Some(Outcome::Granted(_, at)) if at == Timestamp::from_millis(100)));
}

#[test]
fn s03_the_sixth_claim_of_five_gets_the_connection_that_returns_first() {
    let mut sim = PoolSim::new(policy(5, 5), 1);
    sim.publish(&["a"]);
    sim.run(10);
    let held: Vec<_> = (0..5).map(|_| sim.claim_now()).collect();
    let sixth = sim.claim();
    sim.run(1000);
    assert_eq!(sim.outcome(sixth), None);
    sim.give_back(held[3], Return::Intact);
    assert_eq!(sim.granted(sixth), Some(held[3]));
}

#[test]
fn s04_the_seventeenth_of_sixteen_claims_fails_at_exactly_its_time() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["a"]);
    sim.run(10);
    assert_eq!(sim.slots_of("a"), 8);
    for _ in 0..8 {
        sim.claim_now();
        sim.run(1);
    }
    assert_eq!(sim.slots_of("a"), 16);
    for _ in 0..8 {
        sim.claim_now();
    }
    let began = sim.now();
    let claim = sim.claim();
    sim.run(29_999);
    assert_eq!(sim.outcome(claim), None);
    sim.run(1);
    let denial = Denial::AllClaimsUsed { checking: 0 };
    assert_eq!(sim.outcome(claim), Some(Outcome::Denied(denial, began.after(Duration::from_secs(30)))));
}

#[test]
fn s05_a_denial_says_why() {
    let claim_timeout = Duration::from_millis(5);
    let mut sim = PoolSim::new(Policy { claim_timeout, ..policy(1, 1) }, 1);
    let denied = |sim: &mut PoolSim| {
        let claim = sim.claim();
        sim.run(5);
        match sim.outcome(claim) {
            Some(Outcome::Denied(denial, _)) => denial,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(denied(&mut sim), Denial::NoBackends);
    sim.behave("a", dead());
    sim.publish(&["a"]);
    assert_eq!(denied(&mut sim), Denial::NoBackendsOnline);
    sim.behave("a", Manners::default());
    sim.run(60_000);
    sim.claim_now();
    assert_eq!(denied(&mut sim), Denial::AllClaimsUsed { checking: 0 });
}

#[test]
fn s06_after_a_swap_only_the_new_backend_serves() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["aaa"]);
    sim.run(10);
    sim.publish(&["bbb"]);
    sim.run(10);
    for _ in 0..16 {
        let claim = sim.claim();
        sim.run(1);
        let slot = sim.granted(claim).expect("served");
        assert_eq!(sim.backend_of(slot), "bbb");
    }
    assert_eq!(sim.slots_of("aaa"), 0);
}

#[test]
fn s12_gaps_between_failing_connects_grow_to_the_cap_and_every_one_is_drawn() {
    let set_config = SetConfig {
        min_connection_backoff: Duration::from_millis(100),
        max_connection_backoff: Duration::from_secs(1),
        ..SetConfig::default()
    };
    let gaps = |seed| {
        let mut sim = PoolSim::new(Policy { set_config: set_config.clone(), ..Policy::default() }, seed);
        sim.behave("a", dead());
        sim.publish(&["a"]);
        sim.run(8_000);
        let times: Vec<_> = sim.dials.iter().map(|(at, _)| *at).collect();
        times.windows(2).map(|pair| pair[1].since(pair[0])).collect::<Vec<_>>()
    };
    let (one, other) = (gaps(1), gaps(2));
    for (attempt, gap) in one.iter().enumerate() {
        let full = (100_u64 << attempt.min(10)).min(1000);
        let least = Duration::from_millis(full / 2);
        let most = Duration::from_millis((full + 20).min(1000));
        assert!((least..=most).contains(gap), "gap {attempt} is {gap:?}, not in {least:?}..={most:?}");
    }
    assert!(one.len() >= 8);
    assert!(one.iter().zip(&other).all(|(one, other)| one != other), "drawn at every attempt");
}

#[test]
fn s14_s16_terminate_denies_those_who_wait_and_lets_handles_finish() {
    let mut sim = PoolSim::new(policy(1, 1), 1);
    sim.publish(&["a"]);
    sim.run(10);
    let held = sim.claim_now();
    let waiting = sim.claim();
    sim.shut_down();
    assert!(matches!(sim.outcome(waiting), Some(Outcome::Denied(Denial::Terminated, _))));
    assert!(sim.stopped, "only a handle is out");
    sim.shut_down();
    sim.give_back(held, Return::Intact);
    assert_eq!(sim.slots_of("a"), 0);
    let late = sim.claim();
    assert!(matches!(sim.outcome(late), Some(Outcome::Denied(Denial::Terminated, _))));
}

#[test]
fn s18_three_backends_share_three_hundred_claims() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["a", "b", "c"]);
    sim.run(10);
    let mut served = std::collections::BTreeMap::new();
    for _ in 0..300 {
        let slot = sim.claim_now();
        *served.entry(sim.backend_of(slot).to_owned()).or_insert(0) += 1;
        sim.give_back(slot, Return::Intact);
        sim.run(1);
    }
    assert!(served.values().all(|count| (90..=110).contains(count)), "{served:?}");
}

#[test]
fn s19_a_backend_that_left_stays_usable_for_whoever_holds_its_connection() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["a"]);
    sim.run(10);
    let slot = sim.claim_now();
    sim.publish(&[]);
    sim.run(0);
    assert_eq!((sim.slots_of("a"), sim.machine().draining().held()), (1, 1));
    sim.give_back(slot, Return::Intact);
    assert_eq!(sim.slots_of("a"), 0);
    assert_eq!(sim.machine().census().count(), 0, "it is forgotten");
}
