//! What the original does worse: scenarios 23 to 43, but for those in `ending`.

use std::time::Duration;

use qorb_driver::{Denial, Policy, PoolError};
use qorb_tests::sim::hand::Hand;
use qorb_tests::sim::script::{Act, Method, Script};

use super::{Results, Rig, SimHandle};

/// One healthy backend and others that all do the same.
fn among(others: usize, act: Act) -> (Vec<String>, impl FnOnce(&Script)) {
    let bad: Vec<_> = (0..others).map(|number| format!("bad-{number}")).collect();
    let names = bad.iter().cloned().chain(["good".to_owned()]).collect();
    (names, move |script: &Script| {
        for name in bad {
            script.set(&name, Method::Connect, act);
        }
    })
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[test]
fn s23_one_healthy_backend_among_many_that_refuse_is_found_fast() {
    for others in [8, 20, 63] {
        let (names, direct) = among(others, Act::FAIL.after(1));
        let rig = Rig::scripted(&borrowed(&names), |_| {}, direct);
        let handle = rig.claim();
        assert_eq!(handle.backend, "good");
        assert!(rig.millis() <= 50, "{others} others: {} ms", rig.millis());
        drop(handle);
        rig.pass(120_000);
        assert!(rig.script.made() <= 16, "one set of stable connections, not {}", rig.script.made());
        rig.end();
    }
}

#[test]
fn s24_the_cap_is_never_exceeded() {
    let rig = Rig::with(&["a", "b", "c", "d", "e"], |policy| policy.max_slots = 1);
    drop(rig.claim());
    rig.pass(600_000);
    assert_eq!(rig.script.most(), 1);
    rig.end();

    let rig = Rig::with(&["a", "b", "c"], |policy| policy.spares_wanted = 16);
    rig.pass(600_000);
    assert_eq!((rig.script.most(), rig.unclaimed()), (16, 16));
    rig.end();

    let rig = Rig::new(&["a"]);
    let handles: Vec<_> = (0..16).map(|_| rig.claim()).collect();
    rig.sets.publish(&["a", "b"]);
    rig.pass(120_000);
    assert_eq!(rig.script.most(), 16);
    drop(handles);
    rig.pass(600_000);
    assert_eq!(rig.script.most(), 16);
    rig.end();
}

#[test]
fn s25_without_spares_connections_open_on_demand() {
    let rig = Rig::with(&["a"], |policy| policy.spares_wanted = 0);
    rig.pass(120_000);
    assert_eq!(rig.script.calls(Method::Connect).len(), 0);
    let handle = rig.claim();
    rig.pass(1_000);
    assert_eq!(rig.script.calls(Method::Connect).len(), 1);
    drop(handle);
    rig.end();
}

#[test]
fn s26_parked_claims_hold_up_nobody() {
    let rig = Rig::new(&["a"]);
    let handles: Vec<_> = (0..16).map(|_| rig.claim()).collect();
    let mut parked: Vec<_> = (0..16).map(|_| Hand::new(rig.pool.claim())).collect();
    assert!(parked.iter_mut().all(|claim| claim.poll().is_pending()));
    drop(handles);
    assert!(parked.iter().all(|claim| claim.woken() == 1), "all were granted, and sleep on");
    let live = rig.claim();
    assert!((900..=1_100).contains(&rig.millis()), "{} ms", rig.millis());
    drop(live);
    // One of the sleepers awakes after all, and is served.
    let awake = rig.world.run_until(async { std::future::poll_fn(|_| parked[0].poll()).await });
    assert!(awake.is_ok());
    drop(awake);
    rig.world.run_until(rig.pool.terminate());
    assert!(rig.millis() < 1_200);
    assert_eq!(rig.script.all_live(), 0);
    drop(parked);
    rig.end();
}

#[test]
fn s27_an_on_acquire_that_always_fails_ends_the_claim_after_three_tries() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    rig.script.set("a", Method::Acquire, Act::FAIL);
    let error = rig.try_claim().expect_err("it cannot be acquired");
    assert_eq!(error.kind, Denial::AcquireFailed);
    let source = std::error::Error::source(&error).expect("what on_acquire said").to_string();
    assert_eq!(source, "Acquire fails as the script says");
    assert_eq!(rig.script.calls(Method::Acquire).len(), 3);

    rig.script.set("a", Method::Acquire, Act::HANG);
    rig.pass(60_000);
    let before = rig.millis();
    let error = rig.world.run_until(rig.pool.claim_within(Duration::from_secs(5))).expect_err("it hangs");
    assert_eq!((error.kind, rig.millis() - before), (Denial::AcquireFailed, 5_000));
    let error = rig.world.run_until(rig.pool.try_claim()).expect_err("it hangs");
    assert_eq!((error.kind, rig.millis() - before), (Denial::AcquireFailed, 8_000));
    // The second try has what the first one left.
    rig.pass(60_000);
    rig.script.once("a", Method::Acquire, Act::FAIL.after(2_000));
    let before = rig.millis();
    let error = rig.world.run_until(rig.pool.try_claim()).expect_err("it hangs after that");
    assert_eq!((error.kind, rig.millis() - before), (Denial::AcquireFailed, 3_000));
    rig.end();
}

#[test]
fn s29_panics_of_the_connector_are_contained() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    for _ in 0..8 {
        rig.script.once("a", Method::Check, Act::PANIC);
    }
    rig.pass(90_000);
    assert_eq!(rig.unclaimed(), 8, "the slots recover");
    for method in [Method::Acquire, Method::Recycle, Method::Connect] {
        rig.script.once("a", method, Act::PANIC);
        rig.script.once("a", method, Act::PANIC.after(10));
        for _ in 0..4 {
            drop(rig.claim());
            rig.pass(100);
        }
        rig.pass(1_000);
    }
    assert_eq!(rig.script.all_live(), rig.slots());
    rig.world.run_until(rig.pool.terminate());
    rig.end();
}

#[test]
fn s32_a_live_claim_behind_ten_abandoned_ones_is_served_after_one_recycle() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    rig.script.set("a", Method::Recycle, Act::PASS.after(50));
    let mut abandoned: Vec<_> = (0..10).map(|_| Hand::new(rig.pool.claim())).collect();
    assert!(abandoned.iter_mut().all(|claim| claim.poll().is_pending()));
    let results = Results::default();
    rig.claim_in_task(0, &results);
    rig.settle();
    drop(abandoned);
    drop(handle);
    rig.pass(49);
    assert_eq!(results.len(), 0);
    rig.pass(1);
    assert_eq!(results.len(), 1);
    drop(results.take());
    rig.end();
}

#[test]
fn s33_claims_are_served_strictly_in_order() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 2);
    let handles = vec![rig.claim(), rig.claim()];
    let results = Results::default();
    for number in 0..20 {
        rig.claim_in_task(number, &results);
        rig.settle();
    }
    drop(handles);
    let mut order = Vec::new();
    while order.len() < 20 {
        rig.settle();
        let served = results.take();
        assert!(!served.is_empty());
        let mut numbers: Vec<_> = served.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        order.extend(numbers);
    }
    assert_eq!(order, (0..20).collect::<Vec<_>>());
    rig.end();
}

#[test]
fn s33_a_claim_that_only_tries_never_overtakes() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let mut waiting = Hand::new(rig.pool.claim());
    assert!(waiting.poll().is_pending());
    drop(handle);
    let error = rig.world.run_until(rig.pool.try_claim()).expect_err("another one was first");
    assert_eq!((error.kind, error.waited), (Denial::AllClaimsUsed { checking: 0 }, Duration::ZERO));
    assert!(waiting.poll().is_ready());
    drop(waiting);
    rig.end();
}

#[test]
fn s34_after_many_flaps_claims_are_still_even() {
    let rig = Rig::new(&["a", "b", "c"]);
    rig.settle();
    for _ in 0..60 {
        rig.sets.publish(&["a", "b"]);
        rig.pass(10);
        rig.sets.publish(&["a", "b", "c"]);
        rig.pass(10);
    }
    rig.pass(200_000);
    let before: Vec<_> = ["a", "b", "c"].map(|name| rig.stats(name).total_claims).into();
    for _ in 0..300 {
        drop(rig.claim());
    }
    for (name, before) in ["a", "b", "c"].into_iter().zip(before) {
        let served = rig.stats(name).total_claims - before;
        assert!((90..=110).contains(&served), "{name} served {served}");
    }
    rig.end();
}

#[test]
fn s35_every_extreme_is_defined_or_refused() {
    let refused: [fn(&mut Policy); 6] = [
        |policy| policy.max_slots = 0,
        |policy| policy.set_config.max_count = 0,
        |policy| policy.rebalance_interval = Duration::ZERO,
        |policy| policy.set_config.health_interval = Duration::ZERO,
        |policy| policy.set_config.connect_timeout = Duration::ZERO,
        |policy| policy.set_config.max_connection_backoff = Duration::ZERO,
    ];
    for change in refused {
        let world = qorb_tests::sim::World::new(1);
        let mut policy = Policy::default();
        change(&mut policy);
        let script = Script::new(world.sim());
        let sets = qorb_tests::sim::announce::Announcer::new();
        let error = super::SimPool::new("x", sets.resolver(), script, policy).expect_err("refused");
        assert!(matches!(error, PoolError::Policy(_)), "{error}");
        assert!(error.to_string().starts_with("policy: "), "{error}");
        world.finish();
    }
    let most = Duration::MAX;
    let accepted: [fn(&mut Policy, Duration); 9] = [
        |policy, most| policy.rebalance_interval = most,
        |policy, most| policy.claim_timeout = most,
        |policy, most| policy.set_config.health_interval = most,
        |policy, most| policy.set_config.health_check_timeout = most,
        |policy, most| policy.set_config.connect_timeout = most,
        |policy, most| policy.set_config.max_connection_backoff = most,
        |policy, most| policy.set_config.spread = most,
        |policy, _| policy.max_waiting = usize::MAX,
        |policy, _| policy.set_config.max_count = usize::MAX,
    ];
    for change in accepted {
        let rig = Rig::with(&["a"], |policy| change(policy, most));
        drop(rig.claim());
        rig.pass(3_600_000);
        drop(rig.claim());
        rig.end();
    }
    let rig = Rig::with(&["a"], |policy| policy.claim_timeout = Duration::ZERO);
    rig.settle();
    drop(rig.claim());
    rig.end();
    let rig = Rig::with(&["a"], |policy| (policy.max_waiting, policy.max_slots) = (0, 1));
    rig.settle();
    let handle = rig.claim();
    assert_eq!(rig.denial(), Denial::TooManyWaiting);
    drop(handle);
    rig.end();
}

#[test]
fn s36_the_pool_grows_back_without_a_tick() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    let mut handles = Vec::new();
    for _ in 0..8 {
        handles.push(rig.claim());
        rig.settle();
        assert_eq!((rig.unclaimed(), rig.millis()), (8, 0));
    }
    drop(handles);
    rig.end();
}

#[test]
fn s37_eight_claims_at_once_open_eight_connections_at_once() {
    let rig = Rig::scripted(
        &["a"],
        |policy| policy.spares_wanted = 1,
        |script| script.set("a", Method::Connect, Act::PASS.after(100)),
    );
    let results = Results::default();
    for number in 0..8 {
        rig.claim_in_task(number, &results);
    }
    rig.pass(200);
    assert_eq!(results.len(), 8);
    drop(results.take());
    rig.end();
}

#[test]
fn s38_claims_never_wait_for_checks() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    rig.script.set("a", Method::Check, Act::PASS.after(200));
    for _ in 0..1_000 {
        rig.pass(50);
        let before = rig.millis();
        drop(rig.claim());
        assert_eq!(rig.millis(), before);
    }
    assert!(!rig.script.calls(Method::Check).is_empty(), "there were checks to wait for");
    rig.end();
}

#[test]
fn s39_a_connect_that_hangs_is_given_up_counted_and_tried_again() {
    let rig = Rig::scripted(
        &["a"],
        |policy| policy.spares_wanted = 1,
        |script| script.once("a", Method::Connect, Act::HANG),
    );
    rig.pass(9_999);
    assert_eq!((rig.pool.stats().failures, rig.script.most()), (0, 1));
    rig.pass(100);
    assert_eq!((rig.pool.stats().failures, rig.script.made()), (1, 1));
    assert_eq!(rig.script.calls(Method::Connect).len(), 2);
    rig.end();
}

#[test]
fn s40_shrinking_among_reconnecting_slots_reaches_its_goal() {
    let rig = Rig::new(&["a"]);
    let handles: Vec<_> = (0..16).map(|_| rig.claim()).collect();
    rig.script.set("a", Method::Recycle, Act::FAIL);
    rig.script.set("a", Method::Connect, Act::PASS.after(70_000));
    drop(handles);
    rig.script.set("a", Method::Connect, Act::PASS);
    rig.pass(130_000);
    assert_eq!((rig.slots(), rig.unclaimed()), (8, 8));
    rig.end();
}

#[test]
fn s41_one_healthy_backend_among_many_that_never_answer_is_found() {
    let (names, direct) = among(63, Act::HANG);
    let rig = Rig::scripted(&borrowed(&names), |_| {}, direct);
    let handle = rig.claim();
    assert_eq!(handle.backend, "good");
    assert!(rig.millis() <= 2_000, "{} ms", rig.millis());
    assert!(rig.script.most() <= 16);
    drop(handle);
    rig.end();
}

#[test]
fn s42_a_dead_backend_that_returns_is_dialled_at_the_first_return_after_its_back_off() {
    let rig = Rig::scripted(&["a", "b"], |_| {}, |script| script.set("b", Method::Connect, Act::FAIL));
    let mut handles: Vec<SimHandle> = (0..16).map(|_| rig.claim()).collect();
    assert!(handles.iter().all(|handle| handle.backend == "a"));
    rig.pass(1_000);
    rig.script.set("b", Method::Connect, Act::PASS);
    rig.pass(60_000);
    assert_eq!(rig.script.live("b"), 0, "there is no room for it");
    drop(handles.pop());
    rig.settle();
    assert_eq!(rig.script.live("b"), 1);
    assert!(rig.script.most() <= 16);
    drop(handles);
    rig.end();
}

#[test]
fn s43_a_second_backend_of_a_full_and_idle_pool_gets_its_share() {
    let rig = Rig::with(&["a"], |policy| policy.spares_wanted = 16);
    rig.settle();
    assert_eq!(rig.script.live("a"), 16);
    rig.sets.publish(&["a", "b"]);
    rig.pass(130_000);
    assert_eq!((rig.script.live("a"), rig.script.live("b")), (8, 8));
    assert_eq!(rig.script.most(), 16);
    rig.end();
}
