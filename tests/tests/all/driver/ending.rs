//! How pools and claims end: scenarios 14 to 17, 28 and 31.

use std::sync::Arc;
use std::task::Poll;

use qorb_driver::{Backend, Connector, Denial, FixedResolver, Policy, Pool, WaitReadyError};
use qorb_tests::sim::hand::Hand;
use qorb_tests::sim::script::{Act, Method};
use qorb_tests::sim::{Sim, World};

use super::{Results, Rig};

#[test]
fn s14_terminate_ends_everything_but_handles() {
    let rig = Rig::new(&["a"]);
    let mut handle = rig.claim();
    rig.settle();
    rig.world.run_until(rig.pool.terminate());
    assert_eq!(rig.script.live("a"), 1, "only the handle's connection is left");
    let calls = rig.script.count();
    assert_eq!(rig.denial(), Denial::Terminated);
    handle.broken = false;
    drop(handle);
    assert_eq!(rig.script.live("a"), 0);
    assert_eq!(rig.script.count(), calls, "no method of the connector is called afterwards");
    rig.world.run_until(rig.pool.terminate());
    let late = rig.world.run_until(rig.pool.wait_ready(1));
    assert_eq!(late, Err(WaitReadyError::Terminated));
    rig.end();
}

#[test]
fn s14_two_calls_of_terminate_wait_for_the_same_end() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    let mut first = Hand::new(rig.pool.terminate());
    let mut second = Hand::new(rig.pool.terminate());
    let ended = [first.poll().is_ready(), second.poll().is_ready()];
    assert_eq!(ended, [true, true], "idle connections close at once");
    drop((first, second));
    rig.end();
}

#[test]
fn s14_terminate_interrupts_connects_checks_recycles_and_on_acquires() {
    let rig = Rig::with(&["a", "b"], |policy| policy.max_slots = 4);
    rig.settle();
    rig.script.set("a", Method::Connect, Act::HANG);
    rig.script.set("b", Method::Connect, Act::HANG);
    rig.script.once("a", Method::Acquire, Act::HANG);
    rig.script.once("b", Method::Acquire, Act::HANG);
    rig.script.once("a", Method::Recycle, Act::HANG);
    rig.script.once("b", Method::Recycle, Act::HANG);
    let mut acquiring = [Hand::new(rig.pool.claim()), Hand::new(rig.pool.claim())];
    assert!(acquiring.iter_mut().all(|claim| claim.poll().is_pending()));
    drop([rig.claim(), rig.claim()]);
    let mut waiting = Hand::new(rig.pool.claim());
    assert!(waiting.poll().is_pending());
    let mut end = Hand::new(rig.pool.terminate());
    assert!(end.poll().is_pending(), "claimers have not given their connections up yet");
    for claim in acquiring.iter_mut().chain([&mut waiting]) {
        assert_eq!(claim.woken(), 1);
        let Poll::Ready(Err(error)) = claim.poll() else { panic!("it is denied") };
        assert_eq!(error.kind, Denial::Terminated);
    }
    rig.settle();
    assert_eq!(end.poll(), Poll::Ready(()));
    assert_eq!((rig.script.all_live(), rig.millis()), (0, 0));
    drop((acquiring, waiting, end));
    rig.end();
}

#[test]
fn s15_a_pool_that_is_dropped_closes_its_connections() {
    let rig = Rig::with(&["a"], |policy| policy.spares_wanted = 4);
    rig.settle();
    assert_eq!(rig.script.live("a"), 4);
    let clone = rig.pool.clone();
    let Rig { world, script, pool, .. } = rig;
    drop(pool);
    world.settle();
    assert_eq!(script.live("a"), 4, "a clone is left");
    drop(clone);
    assert_eq!(script.live("a"), 0);
    world.finish();
}

/// Shows whether anything is left of a pool.
struct Token(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Connector for Token {
    type Connection = ();
    type Error = std::io::Error;

    async fn connect(&self, _: &Backend) -> Result<(), std::io::Error> {
        Ok(())
    }
}

#[test]
fn s15_nothing_is_left_of_a_pool_after_its_last_handle() {
    let world = World::new(7);
    let token = Arc::new(());
    let resolver = FixedResolver::new([1, 2, 3].map(|port| ([127, 0, 0, 1], port).into()));
    let policy = Policy { spares_wanted: 40, max_slots: 40, ..Policy::default() };
    let connector = Token(Arc::clone(&token));
    let pool: Pool<Token, Sim> = world
        .run_until(async { Pool::new("fleeting", resolver, connector, policy) })
        .expect("a policy that works");
    world.run_until(pool.wait_ready(40)).expect("they connect");
    let mut handles: Vec<_> = (0..40).map(|_| world.run_until(pool.claim()).expect("there is one")).collect();
    drop(handles.split_off(20));
    drop(pool);
    world.settle();
    while let Some(handle) = handles.pop() {
        assert_eq!(Arc::strong_count(&token), 2, "a handle is out");
        drop(handle);
        world.settle();
    }
    assert_eq!(Arc::strong_count(&token), 1, "the pool is kept by something");
    world.finish();
}

#[test]
fn s16_claims_that_wait_are_told_of_the_end() {
    let rig = Rig::new(&[]);
    let results = Results::default();
    for number in 0..5 {
        rig.claim_in_task(number, &results);
    }
    rig.pass(10);
    rig.world.run_until(rig.pool.terminate());
    rig.settle();
    let results = results.take();
    assert_eq!(results.len(), 5);
    assert!(
        results.iter().all(|(_, result)| matches!(result, Err(error) if error.kind == Denial::Terminated))
    );
    drop(results);
    rig.end();
}

#[test]
fn s17_a_claim_dropped_while_waiting_leaves_nothing() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let mut claim = Hand::new(rig.pool.claim());
    assert!(claim.poll().is_pending());
    assert_eq!(rig.pool.stats().waiting, 1);
    drop(claim);
    assert_eq!(rig.pool.stats().waiting, 0);
    drop(handle);
    assert_eq!((rig.claimed(), rig.unclaimed(), rig.pool.stats().cancelled), (0, 1, 1));
    rig.end();
}

#[test]
fn s17_a_claim_dropped_after_its_grant_gives_the_connection_back_unused() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let mut claim = Hand::new(rig.pool.claim());
    assert!(claim.poll().is_pending());
    drop(handle);
    assert_eq!((claim.woken(), rig.claimed()), (1, 1));
    let recycled = rig.script.calls(Method::Recycle).len();
    drop(claim);
    assert_eq!((rig.claimed(), rig.unclaimed()), (0, 1));
    assert_eq!(rig.script.calls(Method::Recycle).len(), recycled);
    assert_eq!(rig.script.made(), 1);
    rig.end();
}

#[test]
fn s17_a_claim_dropped_in_on_acquire_closes_the_connection() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    rig.settle();
    rig.script.once("a", Method::Acquire, Act::HANG);
    let mut claim = Hand::new(rig.pool.claim());
    assert!(claim.poll().is_pending());
    assert_eq!((rig.claimed(), rig.script.live("a")), (1, 1));
    drop(claim);
    assert_eq!((rig.claimed(), rig.script.live("a")), (0, 0));
    rig.settle();
    assert_eq!((rig.unclaimed(), rig.script.made()), (1, 2), "it is replaced");
    rig.end();
}

#[test]
fn s28_terminate_is_at_once_whatever_the_backends_do() {
    let names = ["a", "b", "c"];
    let refuse = |script: &qorb_tests::sim::script::Script| {
        for name in names {
            script.set(name, Method::Connect, Act::FAIL);
        }
    };
    let rig = Rig::scripted(&names, |_| {}, refuse);
    rig.pass(300_000);
    rig.world.run_until(rig.pool.terminate());
    assert_eq!(rig.millis(), 300_000);
    rig.end();

    let hang = |script: &qorb_tests::sim::script::Script| {
        for name in names {
            script.set(name, Method::Connect, Act::HANG);
        }
    };
    let rig = Rig::scripted(&names, |_| {}, hang);
    rig.pass(100);
    rig.world.run_until(rig.pool.terminate());
    assert_eq!(rig.millis(), 100);
    rig.end();
}

#[test]
fn s31_a_handle_of_a_removed_backend_closes_when_it_is_dropped_and_no_other() {
    let rig = Rig::new(&["a"]);
    let (first, second) = (rig.claim(), rig.claim());
    rig.sets.publish(&[]);
    rig.settle();
    assert_eq!(rig.script.live("a"), 2);
    drop(first);
    assert_eq!(rig.script.live("a"), 1);
    drop(second);
    assert_eq!(rig.script.live("a"), 0);
    rig.end();
}

#[test]
fn a_drained_pool_names_the_handles_that_are_still_out() {
    let rig = Rig::new(&["a"]);
    let (back, out) = (rig.claim(), rig.claim());
    let sim = rig.world.sim().clone();
    rig.world.spawn(async move {
        sim.sleep(std::time::Duration::from_millis(300)).await;
        drop(back);
    });
    let left = rig.world.run_until(rig.pool.drain(std::time::Duration::from_secs(1)));
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].slot_id, rig.millis()), (out.slot_id(), 1_000));
    drop(out);
    assert!(rig.world.run_until(rig.pool.drain(std::time::Duration::from_secs(1))).is_empty());
    assert_eq!(rig.millis(), 1_000, "with nobody out there is nothing to wait for");
    rig.end();
}
