//! Faults that were found by reading, each as the test that shows it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use qorb_driver::{Backend, Connector, Denial, FixedResolver, Policy, Pool, Standing};
use qorb_tests::sim::hand::Hand;
use qorb_tests::sim::script::{Act, Method, SimPool};
use qorb_tests::sim::{Sim, World};

use super::Rig;

/// A waker whose end is another claim.
struct Nosy {
    pool: SimPool,
}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Nosy {
    fn drop(&mut self) {
        let mut claim = Hand::new(self.pool.claim());
        assert!(claim.poll().is_pending());
    }
}

#[test]
fn a_seat_is_nobody_elses_while_the_machine_knows_its_claim() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    rig.settle();
    rig.script.set("a", Method::Acquire, Act::HANG);
    let mut claim = Box::pin(rig.pool.claim());
    let waker = Waker::from(Arc::new(Nosy { pool: rig.pool.clone() }));
    assert!(claim.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    drop(claim);
    rig.script.set("a", Method::Acquire, Act::PASS);
    rig.settle();
    drop(rig.claim());
    rig.end();
}

#[test]
fn a_claim_after_a_long_rest_does_not_dial_in_the_past() {
    let rig = Rig::scripted(
        &["a"],
        |policy| policy.set_config.health_interval = Duration::MAX,
        |script| script.set("a", Method::Connect, Act::PASS.after(5)),
    );
    rig.pass(20_000);
    let held: Vec<_> = (0..8).map(|_| rig.claim()).collect();
    rig.pass(100);
    assert_eq!((rig.stats("a").failures, rig.unclaimed()), (0, 8));
    drop(held);
    rig.end();
}

#[test]
fn a_claim_after_a_long_rest_has_its_whole_patience() {
    let rig = Rig::scripted(
        &["a"],
        |policy| {
            policy.claim_timeout = Duration::from_secs(5);
            policy.set_config.health_interval = Duration::MAX;
        },
        |script| script.set("a", Method::Acquire, Act::PASS.after(5)),
    );
    for _ in 0..32 {
        rig.pass(9_000);
        drop(rig.claim());
    }
    assert_eq!(rig.stats("a").failures, 0);
    rig.end();
}

#[test]
fn claimers_without_patience_say_nothing_about_a_backend() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    rig.script.set("a", Method::Acquire, Act::PASS.after(5));
    for _ in 0..10 {
        let claim = rig.pool.claim_within(Duration::from_millis(1));
        let error = rig.world.run_until(claim).expect_err("it takes five");
        assert_eq!(error.kind, Denial::AcquireFailed);
    }
    rig.settle();
    let stats = rig.stats("a");
    assert_eq!((stats.failures, stats.standing, stats.online), (0, Standing::Up, true));
    rig.end();
}

#[test]
fn a_claim_that_takes_what_there_is_waits_for_its_on_acquire() {
    let rig = Rig::with(&["a"], |policy| policy.claim_timeout = Duration::ZERO);
    rig.settle();
    rig.script.set("a", Method::Acquire, Act::PASS.after(5));
    drop(rig.claim());
    drop(rig.world.run_until(rig.pool.try_claim()).expect("there are idle ones"));
    rig.end();
}

#[test]
fn a_claim_that_takes_what_there_is_gets_another_when_on_acquire_fails() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    rig.script.once("a", Method::Acquire, Act::FAIL);
    drop(rig.world.run_until(rig.pool.try_claim()).expect("the next one is fine"));
    rig.script.set("a", Method::Acquire, Act::FAIL);
    let error = rig.world.run_until(rig.pool.try_claim()).expect_err("three in a row");
    assert_eq!(error.kind, Denial::AcquireFailed);
    rig.end();
}

#[test]
fn a_claim_counts_once_however_often_on_acquire_fails() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    rig.script.once("a", Method::Acquire, Act::FAIL);
    drop(rig.claim());
    let stats = rig.pool.stats();
    assert_eq!(stats.granted_at_once + stats.granted_after_waiting, 1);
    assert_eq!(rig.stats("a").total_claims, 1);
    rig.end();
}

#[test]
fn no_counter_goes_back_where_on_acquire_fails_after_a_while() {
    let rig = Rig::with(&["a"], |policy| (policy.max_slots, policy.spares_wanted) = (1, 1));
    rig.settle();
    let seen = || {
        let stats = rig.pool.stats();
        let hold = rig.pool.stats().hold.count();
        (
            rig.stats("a").total_claims,
            stats.granted_at_once + stats.granted_after_waiting,
            stats.wait.count(),
            hold,
        )
    };
    drop(rig.claim());
    assert_eq!(seen(), (1, 1, 0, 1));
    rig.script.once("a", Method::Acquire, Act::FAIL.after(500));
    let mut at_once = Hand::new(rig.pool.claim());
    let mut behind = Hand::new(rig.pool.claim());
    assert!(at_once.poll().is_pending());
    assert!(behind.poll().is_pending());
    assert_eq!(seen(), (1, 1, 0, 1), "whether it takes the connection is not known yet");
    rig.pass(600);
    assert!(at_once.poll().is_pending());
    rig.pass(100);
    let Poll::Ready(Ok(handle)) = at_once.poll() else { panic!("there is another connection") };
    assert_eq!(seen(), (2, 2, 1, 1), "a handle that is out counts");
    drop(handle);
    assert_eq!(seen(), (2, 2, 1, 1));
    rig.script.once("a", Method::Acquire, Act::PASS.after(500));
    assert!(behind.poll().is_pending());
    assert_eq!(seen(), (2, 2, 1, 1));
    drop((at_once, behind));
    assert_eq!(seen(), (2, 2, 1, 1), "it walked off");
    rig.end();
}

#[test]
fn a_connection_that_is_claimed_after_a_quiet_hour_has_not_been_out_for_an_hour() {
    let rig = Rig::with(&["a"], |policy| policy.set_config.health_interval = Duration::MAX);
    rig.settle();
    drop(rig.claim());
    rig.pass(3_600_000);
    let handle = rig.claim();
    assert_eq!(rig.pool.stats().handles[0].held, Duration::ZERO);
    drop(handle);
    rig.end();
}

#[test]
fn a_denied_claim_that_is_dropped_was_not_cancelled() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let mut claim = Hand::new(rig.pool.claim_within(Duration::from_secs(1)));
    assert!(claim.poll().is_pending());
    rig.pass(2_000);
    drop(claim);
    let stats = rig.pool.stats();
    assert_eq!((stats.denied.values().sum::<u64>(), stats.cancelled), (1, 0));
    drop(handle);
    rig.end();
}

#[test]
fn terminating_during_on_acquire_is_no_time_out() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    rig.script.set("a", Method::Acquire, Act::HANG);
    let mut claim = Hand::new(rig.pool.claim());
    assert!(claim.poll().is_pending());
    let mut end = Hand::new(rig.pool.terminate());
    let _ = end.poll();
    let std::task::Poll::Ready(Err(error)) = claim.poll() else { panic!("it is denied at once") };
    assert_eq!(error.kind, Denial::Terminated);
    assert!(std::error::Error::source(&error).is_none(), "{error:?}");
    drop((claim, end));
    rig.end();
}

#[test]
fn a_deadline_is_a_point_in_time_whenever_the_claim_is_polled_first() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let soon = Instant::now() + Duration::from_millis(1);
    let claim = rig.pool.claim_by(soon);
    while Instant::now() < soon {
        std::hint::spin_loop();
    }
    assert!(Hand::new(claim).poll().is_ready(), "its time is up");
    drop(handle);
    rig.end();
}

#[test]
fn every_extreme_together_is_a_pool_like_any_other() {
    let rig = Rig::with(&["a"], |policy| {
        *policy = Policy { spares_wanted: usize::MAX, max_slots: usize::MAX, ..policy.clone() };
    });
    rig.settle();
    assert_eq!(rig.unclaimed(), 16, "max_count");
    drop(rig.claim());
    rig.end();
}

#[test]
fn a_pool_with_a_dead_backend_becomes_ready() {
    let rig = Rig::scripted(
        &["a", "b"],
        |policy| policy.spares_wanted = 16,
        |script| script.set("b", Method::Connect, Act::FAIL),
    );
    rig.world.run_until(rig.pool.wait_ready(16)).expect("all but the slot that is kept for b");
    assert_eq!(rig.slots(), 15);
    rig.end();
}

#[test]
fn a_forgotten_claim_costs_a_seat_and_nothing_else() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let mut claim = Box::pin(rig.pool.claim());
    assert!(claim.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    std::mem::forget(claim);
    drop(handle);
    rig.pass(2_000);
    drop(rig.claim());
    rig.end();
}

/// Fails with an error that looks at the pool when somebody prints it.
struct Prying {
    pool: Arc<OnceLock<Pool<Prying, Sim>>>,
}

struct Pried(Arc<OnceLock<Pool<Prying, Sim>>>);

impl fmt::Display for Pried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.0.get().map(|pool| pool.stats().waiting);
        write!(f, "{waiting:?} are waiting")
    }
}

impl fmt::Debug for Pried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Pried {}

impl Connector for Prying {
    type Connection = ();
    type Error = Pried;

    async fn connect(&self, _: &Backend) -> Result<(), Pried> {
        Err(Pried(Arc::clone(&self.pool)))
    }
}

#[test]
fn rule_1_no_error_is_printed_under_the_lock() {
    let world = World::new(7);
    let place = Arc::new(OnceLock::new());
    let resolver = FixedResolver::new([([127, 0, 0, 1], 1).into()]);
    let connector = Prying { pool: Arc::clone(&place) };
    let pool = world.run_until(async { Pool::new("prying", resolver, connector, Policy::default()) });
    let pool = pool.expect("a policy that works");
    assert!(place.set(pool.clone()).is_ok());
    world.settle();
    let printed = Mutex::new(format!("{:?}", pool.stats().backends[0].last_error));
    assert!(printed.lock().expect("nobody panics with it").contains("waiting"));
    // The connector keeps its own pool alive; the end of the world breaks the circle.
    world.run_until(pool.terminate());
    std::mem::forget(pool);
    world.vanish();
}

/// Prepares nothing, and is never done with it.
struct Endless;

impl Connector for Endless {
    type Connection = ();
    type Error = std::io::Error;

    async fn connect(&self, _: &Backend) -> Result<(), std::io::Error> {
        Ok(())
    }

    fn on_acquire(&self, (): &mut ()) -> impl Future<Output = Result<(), std::io::Error>> + Send {
        std::future::pending()
    }
}

#[test]
fn a_method_whose_future_has_no_state_may_be_pending_all_the_same() {
    let world = World::new(7);
    let resolver = FixedResolver::new([([127, 0, 0, 1], 1).into()]);
    let pool = world.run_until(async { Pool::new("endless", resolver, Endless, Policy::default()) });
    let pool: Pool<Endless, Sim> = pool.expect("a policy that works");
    world.settle();
    let patience = Duration::from_secs(7);
    let error = world.run_until(pool.claim_within(patience)).expect_err("it is never done");
    assert_eq!((error.kind, world.elapsed()), (Denial::AcquireFailed, patience));
    world.run_until(pool.terminate());
    drop(pool);
    world.finish();
}

/// Whether it recycles, it cannot say at the first poll.
struct Hesitant;

static CALLED: AtomicU32 = AtomicU32::new(0);
static POLLED: AtomicU32 = AtomicU32::new(0);

impl Connector for Hesitant {
    type Connection = ();
    type Error = std::io::Error;

    async fn connect(&self, _: &Backend) -> Result<(), std::io::Error> {
        Ok(())
    }

    fn on_recycle(&self, (): &mut ()) -> impl Future<Output = Result<(), std::io::Error>> + Send {
        CALLED.fetch_add(1, Ordering::Relaxed);
        poll_fn(|_| match POLLED.fetch_add(1, Ordering::Relaxed) {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        })
    }
}

#[test]
fn a_recycle_that_holds_nothing_and_is_pending_is_called_again() {
    let world = World::new(7);
    let resolver = FixedResolver::new([([127, 0, 0, 1], 1).into()]);
    let pool = world.run_until(async { Pool::new("hesitant", resolver, Hesitant, Policy::default()) });
    let pool: Pool<Hesitant, Sim> = pool.expect("a policy that works");
    world.settle();
    let handle = world.run_until(pool.claim()).expect("it connects");
    drop(handle);
    assert_eq!([&CALLED, &POLLED].map(|count| count.load(Ordering::Relaxed)), [2, 2]);
    assert_eq!((pool.stats().handles.len(), pool.stats().failures), (0, 0));
    world.run_until(pool.terminate());
    drop(pool);
    world.finish();
}

/// Panics wherever it can.
struct Skittish;

impl Connector for Skittish {
    type Connection = ();
    type Error = std::io::Error;

    async fn connect(&self, _: &Backend) -> Result<(), std::io::Error> {
        Ok(())
    }

    #[expect(clippy::manual_async_fn, reason = "its future is to have no state")]
    fn on_recycle(&self, (): &mut ()) -> impl Future<Output = Result<(), std::io::Error>> + Send {
        async { std::panic::resume_unwind(Box::new("it cannot be recycled")) }
    }
}

#[test]
fn s29_a_panic_on_the_spot_is_contained_too() {
    let world = World::new(7);
    let resolver = FixedResolver::new([([127, 0, 0, 1], 1).into()]);
    let pool = world.run_until(async { Pool::new("skittish", resolver, Skittish, Policy::default()) });
    let pool: Pool<Skittish, Sim> = pool.expect("a policy that works");
    world.pass(Duration::from_secs(2));
    let handle = world.run_until(pool.claim()).expect("it connects");
    let slot = handle.slot_id();
    drop(handle);
    world.pass(Duration::from_secs(2));
    let handle = world.run_until(pool.claim()).expect("another connection");
    assert_ne!(handle.slot_id(), slot);
    drop(handle);
    world.run_until(pool.terminate());
    drop(pool);
    world.finish();
}

#[test]
fn a_claim_whose_connection_failed_on_the_spot_has_not_waited_since_the_last_event() {
    let rig = Rig::with(&["a"], |policy| {
        (policy.set_config.health_interval, policy.max_slots) = (Duration::MAX, 4);
    });
    rig.settle();
    rig.pass(3_600_000);
    rig.script.once("a", Method::Acquire, Act::FAIL);
    let handle = rig.claim();
    assert!(rig.pool.stats().wait.sum() < Duration::from_secs(1));
    drop(handle);
    rig.end();
}

#[test]
fn a_grant_that_nobody_fetched_counts_for_nothing() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = 1);
    let handle = rig.claim();
    let mut claim = Hand::new(rig.pool.claim());
    assert!(claim.poll().is_pending());
    drop(handle);
    let counts = || {
        let stats = rig.pool.stats();
        (stats.handles.len(), stats.granted_at_once + stats.granted_after_waiting, stats.wait.count())
    };
    let before = counts();
    assert_eq!(before.0, 0, "nobody has a handle");
    drop(claim);
    assert_eq!(counts(), before);
    rig.end();
}
