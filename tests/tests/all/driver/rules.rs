//! The driver's own rules, by the numbers of the design.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use qorb_driver::{Denial, NoRuntime, Policy, Pool, PoolError, Runtime, WaitReadyError, connector_fn};
use qorb_tests::sim::announce::Announcer;
use qorb_tests::sim::hand::Hand;
use qorb_tests::sim::script::{Act, Conn, Method, Script, SimPool};
use qorb_tests::sim::{Sim, World};

use super::{Results, Rig};

const CALM: &str = "nobody panics with it";

#[test]
fn rule_1_no_waker_is_woken_under_the_lock() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let (free, woken) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let is_locked = Mutex::new(rig.pool.lock_probe());
    let (sees, count) = (Arc::clone(&free), Arc::clone(&woken));
    let look = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let locked = is_locked.lock().expect(CALM)();
        sees.fetch_and(!locked, Ordering::Relaxed);
    };
    let mut claim = Hand::calling(rig.pool.claim(), look);
    assert!(claim.poll().is_pending());
    drop(handle);
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert!(free.load(Ordering::Relaxed));
    drop(claim);
    rig.end();
}

#[test]
fn rule_1_a_waker_may_use_the_pool() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (pool, sees) = (rig.pool.clone(), Arc::clone(&seen));
    let look = move || sees.lock().expect(CALM).push(pool.stats().backends[0].claimed_slots);
    let mut claim = Hand::calling(rig.pool.claim(), look);
    assert!(claim.poll().is_pending());
    drop(handle);
    assert_eq!(*seen.lock().expect(CALM), [1], "rule 3: it was on the seat when the claimer was woken");
    assert!(claim.poll().is_ready());
    drop(claim);
    rig.end();
}

#[test]
fn rule_1_a_waker_that_panics_harms_nobody() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let mut claim = Hand::calling(rig.pool.claim(), || std::panic::resume_unwind(Box::new("what a waker")));
    assert!(claim.poll().is_pending());
    drop(handle);
    assert!(claim.poll().is_ready());
    drop(claim);
    drop(rig.claim());
    rig.end();
}

#[test]
fn rule_4_a_waiter_that_goes_away_takes_no_grant_with_it() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let (mut first, mut second) = (Hand::new(rig.pool.claim()), Hand::new(rig.pool.claim()));
    assert!(first.poll().is_pending() && second.poll().is_pending());
    drop(handle);
    assert_eq!((first.woken(), second.woken()), (1, 0));
    drop(first);
    assert_eq!(second.woken(), 1, "the grant went to the next one in line");
    assert!(second.poll().is_ready());
    drop(second);
    rig.end();
}

#[test]
fn rule_5_a_claim_that_comes_back_after_its_grant_was_revoked_keeps_its_place() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let mut sleeper = Hand::new(rig.pool.claim());
    let mut second = Hand::new(rig.pool.claim());
    let mut third = Hand::new(rig.pool.claim());
    assert!(sleeper.poll().is_pending() && second.poll().is_pending() && third.poll().is_pending());
    drop(handle);
    rig.pass(1_000);
    assert_eq!((sleeper.woken(), second.woken()), (1, 1));
    let Poll::Ready(Ok(handle)) = second.poll() else { panic!("it was passed the grant") };
    assert!(sleeper.poll().is_pending(), "it queues again");
    drop(handle);
    assert_eq!((sleeper.woken(), third.woken()), (2, 0), "before the third");
    assert!(sleeper.poll().is_ready());
    drop((sleeper, second, third));
    rig.end();
}

#[test]
fn rule_5_a_claim_that_sleeps_past_its_deadline_is_denied_when_it_comes_back() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let mut sleeper = Hand::new(rig.pool.claim());
    assert!(sleeper.poll().is_pending());
    drop(handle);
    rig.pass(31_000);
    let Poll::Ready(Err(error)) = sleeper.poll() else { panic!("its time is up") };
    assert_eq!(error.kind, Denial::AllClaimsUsed { checking: 0 });
    assert_eq!(rig.unclaimed(), 1);
    drop(sleeper);
    rig.end();
}

#[test]
fn rule_6_no_task_keeps_a_pool_alive() {
    let rig = Rig::with(&["a"], |policy| policy.set_config.health_interval = Duration::MAX);
    rig.settle();
    assert!(rig.world.tasks() > 0);
    rig.end();
}

#[test]
fn rule_7_the_alarm_is_set_anew_only_for_an_earlier_deadline() {
    let rig = Rig::with(&["a"], |policy| {
        policy.max_slots = 1;
        policy.set_config.health_interval = Duration::from_secs(3_600);
    });
    let handle = rig.claim();
    rig.settle();
    let mut claims: Vec<_> = (0..100).map(|_| Hand::new(rig.pool.claim())).collect();
    assert!(claims[0].poll().is_pending());
    rig.settle();
    let slept = rig.world.slept();
    for claim in &mut claims[1..] {
        rig.pass(1);
        assert!(claim.poll().is_pending());
    }
    assert_eq!(rig.world.slept(), slept, "later deadlines wake nobody");
    let mut urgent = Hand::new(rig.pool.claim_within(Duration::from_millis(50)));
    assert!(urgent.poll().is_pending());
    rig.pass(49);
    assert_eq!((rig.world.slept(), urgent.woken()), (slept + 1, 0));
    rig.pass(1);
    assert_eq!(urgent.woken(), 1);
    drop(urgent);
    let mut urgent = Hand::new(rig.pool.claim_within(Duration::from_millis(50)));
    assert!(urgent.poll().is_pending());
    rig.settle();
    let slept = rig.world.slept();
    drop(urgent);
    rig.settle();
    assert_eq!(rig.world.slept(), slept, "a deadline that is gone wakes nobody either");
    drop((claims, handle));
    rig.end();
}

#[test]
fn rule_7_an_idle_pool_has_no_timer_that_is_not_needed() {
    let rig = Rig::with(&["a"], |policy| policy.set_config.health_interval = Duration::MAX);
    // The timers of the connects ring once more, and find nothing to do.
    rig.pass(10_000);
    assert_eq!((rig.unclaimed(), rig.world.timers()), (8, 0));
    rig.end();
}

#[test]
fn rule_7_while_connections_come_and_go_somebody_looks_at_the_clock_ten_times_a_second() {
    let rig = Rig::with(&["a"], |policy| {
        policy.spares_wanted = 1;
        policy.max_slots = 1;
        policy.set_config.spread = Duration::ZERO;
    });
    rig.pass(10_000);
    let slept = rig.world.slept();
    for _ in 0..1_000 {
        drop(rig.claim());
        rig.pass(1);
    }
    let looks = rig.world.slept() - slept;
    assert!((9..=12).contains(&looks), "{looks} looks in a second");
    let came_to_rest = rig.world.elapsed() - Duration::from_millis(1);
    rig.pass(1_000);
    assert_eq!(rig.world.slept() - slept - looks, 2, "then it is known that nobody relies on it");
    rig.pass(60_000);
    // The only idle connection is checked when it is a full interval overdue, a glance early at most.
    let checked = rig.script.calls(Method::Check)[0].at - came_to_rest;
    let (early, due) = (Duration::from_millis(59_900), Duration::from_secs(60));
    assert!(early <= checked && checked <= due, "checked {checked:?} after it came to rest");
    rig.end();
}

#[test]
fn rule_8_a_runtime_that_goes_away_ends_the_pool() {
    for hang in [false, true] {
        let rig = Rig::with(&["a"], |policy| policy.max_slots = 10);
        rig.settle();
        if hang {
            rig.script.set("a", Method::Connect, Act::HANG);
        }
        let handles: Vec<_> = (0..8).map(|_| rig.claim()).collect();
        let mut claims: Vec<_> = (0..8).map(|_| Hand::new(rig.pool.claim())).collect();
        let granted: Vec<_> = claims.iter_mut().map(Hand::poll).filter(Poll::is_ready).collect();
        assert!(granted.len() <= 2);
        claims.drain(..2);
        rig.world.vanish();
        for claim in &mut claims {
            assert_eq!(claim.woken(), 1);
            let Poll::Ready(Err(error)) = claim.poll() else { panic!("the pool has ended") };
            assert_eq!(error.kind, Denial::Terminated);
        }
        drop((claims, granted, handles));
        assert_eq!(rig.script.all_live(), 0);
        assert_eq!(rig.denial(), Denial::Terminated);
        rig.world.run_until(rig.pool.terminate());
        rig.end();
    }
}

#[test]
fn rule_8_an_operation_that_is_dropped_unasked_ends_the_pool() {
    let rig = Rig::scripted(&["a"], |_| {}, |script| script.set("a", Method::Connect, Act::HANG));
    rig.settle();
    let mut claim = Hand::new(rig.pool.claim());
    assert!(claim.poll().is_pending());
    rig.settle();
    rig.world.lose_last();
    let Poll::Ready(Err(error)) = claim.poll() else { panic!("the pool has ended") };
    assert_eq!(error.kind, Denial::Terminated);
    drop(claim);
    rig.end();
}

#[test]
fn rule_9_a_check_that_was_given_up_closes_its_connection() {
    let rig = Rig::with(&["a"], |policy| policy.spares_wanted = 2);
    rig.settle();
    rig.script.set("a", Method::Check, Act::HANG);
    rig.pass(40_000);
    rig.script.set("a", Method::Check, Act::PASS);
    rig.pass(60_000);
    assert_eq!(rig.script.live("a"), 2);
    assert!(rig.script.made() >= 3, "the hung one was replaced");
    rig.end();
}

#[test]
fn rule_10_handles_may_be_dropped_outside_any_runtime() {
    let rig = Rig::new(&["a"]);
    let (intact, broken, slow) = (rig.claim(), rig.claim(), rig.claim());
    assert!(!qorb_tests::sim::inside());
    drop(intact);
    broken.discard();
    rig.script.once("a", Method::Recycle, Act::PASS.after(5));
    drop(slow);
    assert_eq!(rig.script.dropped_outside(), 0, "connections are dropped where their runtime is");
    rig.pass(5);
    rig.end();
}

#[test]
fn a_release_that_is_ready_at_once_starts_no_task() {
    let rig = Rig::new(&["a"]);
    drop(rig.claim());
    rig.settle();
    let spawned = rig.world.spawned();
    for _ in 0..100 {
        drop(rig.claim());
    }
    assert_eq!(rig.world.spawned(), spawned);
    rig.end();
}

#[test]
fn a_handle_knows_where_it_leads_and_can_be_detached() {
    let rig = Rig::with(&["a"], |policy| policy.spares_wanted = 1);
    let handle = rig.claim();
    assert_eq!(&*handle.backend().name, "a");
    assert!(format!("{handle:?}").contains("slot_id"));
    let conn: Conn = handle.detach();
    rig.settle();
    assert_eq!((conn.id, rig.unclaimed(), rig.script.live("a")), (1, 1, 2));
    let Rig { world, script, pool, .. } = rig;
    drop(pool);
    world.settle();
    assert_eq!(script.live("a"), 1, "a detached connection is not the pool's");
    drop(conn);
    world.finish();
}

#[test]
fn a_connection_that_is_discarded_counts_against_its_backend() {
    let rig = Rig::with(&["a"], |policy| policy.spares_wanted = 1);
    let handle = rig.claim();
    let slot = handle.slot_id();
    handle.discard();
    assert_eq!(rig.pool.stats().failures, 1);
    rig.pass(100);
    assert_ne!(rig.claim().slot_id(), slot);
    rig.end();
}

#[test]
fn a_pool_can_be_waited_for() {
    let rig = Rig::scripted(
        &["a"],
        |_| {},
        |script| {
            script.set("a", Method::Connect, Act::PASS.after(40));
        },
    );
    assert_eq!(rig.world.run_until(rig.pool.wait_ready(0)), Ok(()));
    assert_eq!(rig.world.run_until(rig.pool.wait_ready(8)), Ok(()));
    assert!((40..=80).contains(&rig.millis()));
    let too_many = rig.world.run_until(rig.pool.wait_ready(9));
    assert_eq!(too_many, Err(WaitReadyError::TooMany { wanted: 9, most: 8 }));
    rig.end();
}

#[test]
fn a_pool_needs_a_runtime() {
    let sets = Announcer::new();
    assert!(matches!(Sim::current(), Err(NoRuntime)));
    let connector = connector_fn(async |_| Ok::<_, std::io::Error>(()));
    let error =
        Pool::<_, Sim>::new("x", sets.resolver(), connector, Policy::default()).expect_err("none here");
    assert_eq!(error, PoolError::NoRuntime(NoRuntime));
}

#[test]
fn a_resolver_that_ends_leaves_its_last_set() {
    let rig = Rig::new(&["a"]);
    rig.sets.end();
    rig.settle();
    drop(rig.claim());
    assert!(!rig.sets.is_heard());
    rig.end();
}

#[test]
fn stats_tell_what_happened() {
    let rig = Rig::with(&["a"], |policy| (policy.max_slots, policy.max_waiting) = (1, 1));
    let results = Results::default();
    rig.settle();
    rig.claim_in_task(0, &results);
    rig.settle();
    let mut waiting = Hand::new(rig.pool.claim());
    assert!(waiting.poll().is_pending());
    assert_eq!(rig.denial(), Denial::TooManyWaiting);
    rig.pass(20);
    let out = rig.pool.stats().handles;
    assert_eq!((out.len(), out[0].held, out[0].claim_id), (1, Duration::from_millis(20), 1));
    drop(results.take());
    assert!(waiting.poll().is_ready());
    drop(waiting);
    let stats = rig.pool.stats();
    assert_eq!((stats.claims, stats.granted_after_waiting, stats.granted_at_once), (3, 1, 1));
    assert_eq!((stats.denied["TooManyWaiting"], stats.cancelled, stats.waiting), (1, 0, 0));
    assert_eq!((stats.wait.count(), stats.hold.count(), stats.connects), (1, 1, 1));
    assert!((Duration::from_millis(16)..Duration::from_millis(40)).contains(&stats.hold.quantile(1.0)));
    rig.end();
}

#[test]
fn a_label_is_shown_as_long_as_the_connection_is_out() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let labels = || {
        let out = rig.pool.stats().handles;
        out.into_iter().map(|handle| handle.label.map(|label| label.to_string())).collect::<Vec<_>>()
    };
    rig.settle();
    let at_once = rig.world.run_until(rig.pool.claim().labelled("at once")).expect("there is a connection");
    let mut waiting = Hand::new(rig.pool.claim().labelled(format!("after {}", "waiting")));
    assert!(waiting.poll().is_pending());
    assert_eq!(labels(), [Some("at once".to_owned())]);
    drop(at_once);
    let Poll::Ready(Ok(after_waiting)) = waiting.poll() else { panic!("it was its turn") };
    assert_eq!(labels(), [Some("after waiting".to_owned())]);
    drop((after_waiting, waiting));
    assert_eq!(labels(), []);
    let unlabelled = rig.claim();
    assert_eq!(labels(), [None], "nobody is taken for who had the connection before");
    drop(unlabelled);
    rig.script.once("a", Method::Acquire, Act::PASS.after(500));
    let mut acquiring = Hand::new(rig.pool.claim().labelled("in on_acquire"));
    assert!(acquiring.poll().is_pending());
    assert_eq!(labels(), [Some("in on_acquire".to_owned())]);
    drop(acquiring);
    rig.settle();
    let refused = rig.pool.try_claim().labelled("twice");
    let (first, second) = (rig.claim(), rig.world.run_until(refused));
    assert_eq!(second.expect_err("one of them has it").kind, Denial::AllClaimsUsed { checking: 0 });
    drop(first);
    rig.end();
}

#[test]
fn worlds_of_equal_seed_are_equal() {
    let story = |seed| {
        let world = World::new(seed);
        let script = Script::new(world.sim());
        script.set("a", Method::Connect, Act::FAIL.after(3));
        let sets = Announcer::new();
        let pool: SimPool =
            Pool::new("x", sets.resolver(), script.clone(), Policy::default()).expect("it works");
        sets.publish(&["a", "b"]);
        world.pass(Duration::from_secs(100));
        drop(pool);
        world.settle();
        script.calls(Method::Connect)
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}
