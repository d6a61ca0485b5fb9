//! The driver on the simulated runtime: the scenarios that need futures, wakers, cancellation and
//! panics, and the driver's own rules.

mod better;
mod dns;
mod ending;
mod explained;
mod found;
mod looked_at;
mod parity;
mod record;
mod rules;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use qorb_driver::{BackendStats, ClaimError, Denial, Handle, Policy, Pool};
use qorb_tests::sim::announce::Announcer;
use qorb_tests::sim::script::{Script, SimPool};
use qorb_tests::sim::{Sim, World};

type SimHandle = Handle<Script, Sim>;
type Claimed = Result<SimHandle, ClaimError>;
/// What claims in tasks got, in the order in which they got it.
#[derive(Clone, Default)]
struct Results {
    list: Arc<Mutex<Vec<(usize, Claimed)>>>,
}

impl Results {
    fn add(&self, number: usize, result: Claimed) {
        self.list.lock().expect("nobody panics with it").push((number, result));
    }

    /// All since the last time; their handles are the caller's.
    fn take(&self) -> Vec<(usize, Claimed)> {
        std::mem::take(&mut self.list.lock().expect("nobody panics with it"))
    }

    fn len(&self) -> usize {
        self.list.lock().expect("nobody panics with it").len()
    }
}

/// A pool in a world of its own.
struct Rig {
    world: World,
    script: Script,
    sets: Announcer,
    pool: SimPool,
}

impl Rig {
    /// A pool with the default policy, whose resolver has named these backends.
    fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {})
    }

    fn with(names: &[&str], change: impl FnOnce(&mut Policy)) -> Self {
        Self::scripted(names, change, |_| {})
    }

    fn scripted(names: &[&str], change: impl FnOnce(&mut Policy), direct: impl FnOnce(&Script)) -> Self {
        let world = World::new(7);
        let script = Script::new(world.sim());
        direct(&script);
        let sets = Announcer::new();
        let mut policy = Policy::default();
        change(&mut policy);
        let pool = Pool::new("test", sets.resolver(), script.clone(), policy).expect("a policy that works");
        script.watch(&pool);
        sets.publish(names);
        Self { world, script, sets, pool }
    }

    fn claim(&self) -> SimHandle {
        self.try_claim().expect("there is a connection")
    }

    fn try_claim(&self) -> Claimed {
        self.world.run_until(self.pool.claim())
    }

    fn denial(&self) -> Denial {
        self.try_claim().expect_err("there is no connection").kind
    }

    fn settle(&self) {
        self.world.settle();
    }

    fn pass(&self, millis: u64) {
        self.world.pass(Duration::from_millis(millis));
    }

    fn millis(&self) -> u128 {
        self.world.elapsed().as_millis()
    }

    /// Claims in a task; the handle, too, stays in `results`.
    fn claim_in_task(&self, number: usize, results: &Results) {
        let (pool, results) = (self.pool.clone(), results.clone());
        self.world.spawn(async move {
            let result = pool.claim().await;
            results.add(number, result);
        });
    }

    fn stats(&self, name: &str) -> BackendStats {
        let stats = self.pool.stats();
        let found = stats.backends.into_iter().find(|of| &*of.backend.name == name);
        found.unwrap_or_else(|| panic!("{name} is not in the pool"))
    }

    /// All slots, in any state.
    fn slots(&self) -> usize {
        let backends = self.pool.stats().backends;
        let count = |of: &BackendStats| {
            let leaving = if of.in_set { of.draining_slots } else { 0 };
            of.connecting_slots + of.unclaimed_slots + of.checking_slots + of.claimed_slots + leaving
        };
        backends.iter().map(count).sum()
    }

    fn unclaimed(&self) -> usize {
        self.pool.stats().backends.iter().map(|of| of.unclaimed_slots).sum()
    }

    fn claimed(&self) -> usize {
        self.pool.stats().backends.iter().map(|of| of.claimed_slots).sum()
    }

    /// The pool is dropped, and nothing may be left.
    fn end(self) {
        let Self { world, script, sets, pool } = self;
        drop(pool);
        world.settle();
        assert_eq!(script.all_live(), 0, "connections are left");
        assert_eq!(script.complaints(), Vec::<String>::new());
        assert_eq!(script.dropped_outside(), 0, "connections were dropped outside the runtime");
        assert!(!sets.is_heard(), "the resolver is left");
        world.finish();
    }
}
