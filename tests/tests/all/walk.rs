//! Random walks of the pool machine and of the driver, and their logs.

use std::time::Duration;

use qorb_tests::walk::Sight::*;

use qorb_core::Timestamp;
use qorb_core::pool::{Policy, Return};
use qorb_tests::pool_sim::{Conduct, Manners, PoolSim};
use qorb_tests::walk::{Driven, Seen, Sight, Sights, Walked, again, retell, walk, walk_driver};

#[test]
fn two_hundred_large_worlds_keep_every_rule() {
    let mut sum = Walked::default();
    for seed in 0..200 {
        sum += walk(seed).unwrap_or_else(|violation| panic!("{violation}\n{}", violation.log));
    }
    // A walk in which nothing happens would find nothing.
    assert!(sum.granted > sum.events / 50 && sum.served > 2_000, "{sum:?}");
    // What only the driver's worlds have.
    let elsewhere =
        [RuntimeGone, PoolDropped, Terminated, Healed, SameInstant, ResponseCode, Truncated, Lost];
    let lies = [Delayed, Doubled, Hostile, Unreachable, ZeroTtl, Subset];
    let streams = [StreamCut, StreamHostile, StreamRefused, StreamHung];
    assert_eq!(unmet(&sum.sights), [&elsewhere[..], &lies, &streams].concat());
}

/// What there is to meet and was not met.
fn unmet(sights: &Sights) -> Vec<Sight> {
    Sight::ALL.iter().copied().filter(|sight| sights.of(*sight) == 0).collect()
}

#[test]
fn a_tier_that_closes_takes_no_connect_from_a_claim_that_nobody_dials_for_then() {
    // The one world of a hundred thousand in which this happened.
    walk(75_260).unwrap_or_else(|violation| panic!("{violation}\n{}", violation.log));
}

#[test]
fn a_tick_takes_no_connect_from_a_claim_that_nobody_dials_for_then() {
    // The other one.
    walk(73_053).unwrap_or_else(|violation| panic!("{violation}\n{}", violation.log));
}

#[test]
fn a_seed_is_a_world() {
    for seed in 0..5 {
        assert_eq!(walk(seed).expect("it holds"), walk(seed).expect("it holds"));
    }
}

#[test]
fn five_hundred_worlds_of_the_driver_end_well() {
    let mut sum = Driven::default();
    for seed in 0..500 {
        sum += walk_driver(seed).unwrap_or_else(|violation| panic!("{violation}\n{}", violation.log));
    }
    assert!(sum.calls > 10_000 && sum.compared > 1_000, "{sum:?}");
    // What is said to the machine there, the driver says as it happens.
    let elsewhere = [TooLate, FailedAnyway, Blocked, Revalued, Hasty, Patient, Pending, Unfetched];
    let clock = [ClockWentBack, LateWake, IdleTick, HealedForOne, EndedEarly];
    assert_eq!(unmet(&sum.sights), [&elsewhere[..], &clock].concat());
}

#[test]
fn what_the_driver_tells_its_machine_keeps_every_rule() {
    let mut events = 0;
    for seed in 0..100 {
        let retold = retell(seed).unwrap_or_else(|violation| panic!("{violation}\n{}", violation.log));
        events += retold.events;
    }
    assert!(events > 5_000, "{events} events");
}

/// The log of a pool whose only claim waits for a connect that hangs.
fn stuck(connect_timeout: Duration) -> String {
    let mut policy = Policy { spares_wanted: 0, ..Policy::default() };
    policy.set_config.connect_timeout = connect_timeout;
    let mut sim = PoolSim::new(policy, 1);
    sim.behave("a", Manners::connecting(Conduct::Hangs));
    sim.publish(&["a"]);
    sim.claim_by(Timestamp::NEVER);
    sim.log()
}

/// What is seen in a log with this line more before its end; nothing, where all is well.
fn seen(log: &str, line: &str) -> String {
    let (told, events) = log.trim_end().rsplit_once("\nend ").expect("the last line counts the events");
    let events = events.parse::<u64>().expect("a number") + u64::from(!line.starts_with('#'));
    match again(&format!("{told}\n{line}\nend {events}\n")) {
        Ok(Seen::Violation { rule, told, .. }) if told.contains(&rule) => rule,
        Ok(Seen::Well { .. }) => String::new(),
        other => panic!("{line}: {other:?}\n{log}"),
    }
}

#[test]
fn a_log_that_happens_again_shows_what_the_walk_saw() {
    let log = stuck(Duration::MAX);
    let calm = |rule: &str| format!("# the world is calm, and what it owes is {rule}");
    assert_eq!(seen(&log, &calm("C9")), "C9: 1 wait for ever");
    assert_eq!(seen(&log, &calm("C11")), "C11: 1 wait for ever");
    assert_eq!(seen(&log, &calm("C10")), "C10: 1 slots are left in the end");
    assert_eq!(seen(&log, "# the world is not calm"), "");
    // What no embedder may tell a machine, the machine need not notice.
    assert_eq!(
        seen(&log, "1 resume c0"),
        "embedder: c0 resumes, and is Waiting(Ticket { arrival: 1, deadline: Timestamp(18446744073709551615), failures: 0 })"
    );
    assert_eq!(
        seen(&log.replace("connect s0 b0", "connect s1 b0"), "# the world is not calm"),
        "line 9: the log says 'connect s1 b0', the machine does 'connect s0 b0'"
    );
    // Where something is due, what is owed may still be done.
    assert_eq!(seen(&stuck(Duration::from_secs(1)), &calm("C9")), "");
}

#[test]
fn a_log_that_reaches_the_end_of_its_pool_is_told_from_one_that_does_not() {
    let mut sim = PoolSim::new(Policy::default(), 1);
    sim.publish(&["a"]);
    sim.run(1_000);
    let has_ended = |log: &str| match again(log) {
        Ok(Seen::Well { ended, .. }) => ended,
        other => panic!("{other:?}"),
    };
    let slot = sim.claim_now();
    sim.shut_down();
    assert!(!has_ended(&sim.log()), "a connection is out");
    sim.give_back(slot, Return::Intact);
    sim.run(1_000);
    assert!(has_ended(&sim.log()));
}

#[test]
fn a_log_says_which_world_of_the_driver_is_walked_through_again() {
    let told = stuck(Duration::MAX);
    let walks = |log: &str| match again(log) {
        Ok(Seen::Well { walked, .. }) => walked,
        other => panic!("{other:?}"),
    };
    assert!(!walks(&told));
    assert!(walks(&told.replace("\nend ", "\n# the driver's walk 3 of 120 steps\nend ")));
    let error = again(&told.replace("\nend ", "\n# the driver's walk 3 of 10001 steps\nend "))
        .expect_err("there is none");
    let lines = told.lines().count();
    assert_eq!(
        error.to_string(),
        format!(
            "line {lines} of the log cannot be read: 'the driver's walk 3 of 10001 steps' names no walk, of which each \
             has a number and up to 10000 steps; get a whole copy of it"
        )
    );
}
