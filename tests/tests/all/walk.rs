//! Random walks of the pool machine and of the driver, and their logs.

use std::time::Duration;

use qorb_core::Timestamp;
use qorb_core::pool::{Policy, Return};
use qorb_tests::pool_sim::{Conduct, Manners, PoolSim};
use qorb_tests::walk::{Seen, Walked, again, recorded, walk, walk_driver};

#[test]
fn two_hundred_large_worlds_keep_every_rule() {
    let mut sum = Walked::default();
    for seed in 0..200 {
        sum += walk(seed).unwrap_or_else(|violation| panic!("{violation}\n{}", violation.log));
    }
    // A walk in which nothing happens would find nothing.
    assert!(sum.granted > sum.events / 50 && sum.served > 2_000, "{sum:?}");
}

#[test]
fn a_seed_is_a_world() {
    for seed in 0..5 {
        assert_eq!(walk(seed).expect("it holds"), walk(seed).expect("it holds"));
    }
}

#[test]
fn five_hundred_worlds_of_the_driver_end_well() {
    let mut calls = 0;
    for seed in 0..500 {
        calls += walk_driver(seed).unwrap_or_else(|violation| panic!("{violation}\n{}", violation.log));
    }
    assert!(calls > 10_000, "{calls} calls of the connector");
}

#[test]
fn what_the_driver_tells_its_machine_keeps_every_rule() {
    let mut events = 0;
    for seed in 0..100 {
        let log = recorded(seed);
        match again(&log) {
            Ok(Seen::Well(replayed)) => events += replayed.events,
            other => panic!("seed {seed}: {other:?}\n{log}"),
        }
    }
    assert!(events > 5_000, "{events} events");
}

/// What is seen in a log with a line more, before the first that begins so.
fn seen(log: &str, line: &str, before: &str) -> String {
    let with_it = log.replacen(&format!("\n{before}"), &format!("\n{line}\n{before}"), 1);
    assert_ne!(log, with_it);
    // An event more is counted.
    let (head, count) = with_it.trim_end().rsplit_once(' ').expect("the last line counts the events");
    let more = count.parse::<u64>().expect("a number") + u64::from(!line.starts_with('#'));
    match again(&format!("{head} {more}\n")) {
        Ok(Seen::Violation { rule, told }) => {
            assert!(told.contains(&rule), "{told}");
            rule
        }
        other => panic!("{line}: {other:?}\n{with_it}"),
    }
}

#[test]
fn a_log_that_happens_again_shows_what_the_walk_saw() {
    let mut policy = Policy { spares_wanted: 0, ..Policy::default() };
    policy.set_config.connect_timeout = Duration::MAX;
    let mut sim = PoolSim::new(policy, 1);
    sim.publish(&["a"]);
    let first = sim.claim_by(Timestamp::NEVER);
    sim.run(1);
    let slot = sim.granted(first).expect("it is there");
    sim.behave("a", Manners::connecting(Conduct::Hangs));
    sim.give_back(slot, Return::Detached);
    sim.claim_by(Timestamp::NEVER);
    let whole = sim.log();
    assert!(matches!(again(&whole), Ok(Seen::Well(_))), "nothing is owed");
    let calm = |rule: &str| format!("# the world is calm, and what it owes is {rule}");
    for (rule, said) in [
        ("C9", "C9: 1 wait for ever"),
        ("C11", "C11: 1 wait for ever"),
        ("C10", "C10: 1 slots are left in the end"),
    ] {
        assert_eq!(seen(&whole, &calm(rule), "end "), said);
    }
    // What no embedder may tell a machine, the machine need not notice.
    assert_eq!(seen(&whole, "1 resume c1", "end "), "embedder: c1 resumes without having been revoked");
    let otherwise = again(&whole.replace("grant c0", "grant c1"));
    assert!(
        otherwise.is_ok_and(|seen| matches!(seen, Seen::Violation { .. })),
        "the machine does something else"
    );
}
