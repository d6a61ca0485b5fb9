//! A runtime without threads and without time of its own: the third one that the driver runs on.
//!
//! - `mod`: [`World`], the virtual clock and the seeded scheduler.
//! - `runtime`: [`Sim`], the runtime as tasks see it.
//! - [`script`]: a connector that does as it is told, and counts.
//! - [`announce`]: a resolver that says what the test wants it to say.
//! - [`hand`]: a future that is polled when the test says so.
//! - [`wire`]: streams between a server that runs on it and its clients.
//! - [`net`]: datagrams and streams between sockets and scripted servers.

pub mod announce;
pub mod hand;
pub mod net;
mod runtime;
pub mod script;
pub mod wire;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use qorb_core::Timestamp;
use qorb_core::dice::Dice;
use qorb_driver::Runtime;

pub use self::runtime::Sim;

use self::net::Net;
use self::runtime::{Inside, Task};
use self::wire::Door;
use crate::panics::each_contained;

/// What the clock shows when a world begins.
const BEGINNING: Timestamp = Timestamp::from_millis(1_000);

thread_local! {
    static CURRENT: RefCell<Option<Sim>> = const { RefCell::new(None) };
    /// How deep this thread is in tasks or `enter`.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// Whether the caller runs in a task, or in `enter`.
#[must_use]
pub fn inside() -> bool {
    INSIDE.get() > 0
}

/// A world: create one, run things in it, and [`World::finish`] it.
#[derive(Debug)]
pub struct World {
    sim: Sim,
}

struct Inner {
    now: Timestamp,
    dice: Dice,
    next: u64,
    tasks: BTreeMap<u64, Arc<Task>>,
    ready: Vec<u64>,
    timers: BTreeMap<(Timestamp, u64), Waker>,
    slept: u64,
    spawned: u64,
    polled: u64,
    met: u64,
    gone: bool,
    net: Net,
    doors: BTreeMap<SocketAddr, Door>,
}

impl World {
    /// A world whose every chance hangs on `seed`. The calling thread is in it until it is dropped.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            now: BEGINNING,
            dice: Dice::Seeded(seed),
            next: 1,
            tasks: BTreeMap::new(),
            ready: Vec::new(),
            timers: BTreeMap::new(),
            slept: 0,
            spawned: 0,
            polled: 0,
            met: 0,
            gone: false,
            net: Net::default(),
            doors: BTreeMap::new(),
        };
        let sim = Sim { inner: Arc::new(Mutex::new(inner)) };
        CURRENT.set(Some(sim.clone()));
        Self { sim }
    }

    /// The runtime of this world.
    #[must_use]
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// Time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// Starts a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.sim.spawn(task);
    }

    /// Runs the world until `future` is done, moving the clock whenever nothing else can happen.
    ///
    /// # Panics
    ///
    /// Panics where the future can never be done, because nothing will ever happen again.
    pub fn run_until<F: Future>(&self, future: F) -> F::Output {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        // One that panics is not dropped, as the world's own are not.
        let mut future = ManuallyDrop::new(Box::pin(future));
        loop {
            // The test's own future is one of the ready ones, and waits its turn like them.
            let turn = {
                let mut inner = self.sim.lock();
                let ready = inner.ready.len() as u64;
                inner.dice.below(ready + 1) == 0
            };
            if turn && flag.0.swap(false, Ordering::Relaxed) {
                let _guard = Inside::new();
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    drop(ManuallyDrop::into_inner(future));
                    return output;
                }
            } else if !self.step() && !flag.0.load(Ordering::Relaxed) && !self.next_instant(Timestamp::NEVER)
            {
                panic!("the world stands still at {:?}: what it waits for never happens", self.elapsed());
            }
        }
    }

    /// Runs everything that can run without time passing.
    pub fn settle(&self) {
        while self.step() {}
    }

    /// Lets time pass.
    pub fn pass(&self, span: Duration) {
        let until = self.sim.now().after(span);
        self.settle();
        while self.next_instant(until) {
            self.settle();
        }
        self.sim.lock().now = until;
    }

    /// The runtime goes away: its tasks are dropped, and it takes no new ones.
    ///
    /// # Panics
    ///
    /// Panics where one of them does, once all are dropped.
    pub fn vanish(&self) {
        let tasks = {
            let mut inner = self.sim.lock();
            inner.gone = true;
            inner.ready.clear();
            std::mem::take(&mut inner.tasks)
        };
        each_contained(tasks.into_values(), |task| task.end()).unwrap_or_else(|rule| panic!("{rule}"));
    }

    /// The task that was started last is dropped, as a runtime does that goes away.
    ///
    /// # Panics
    ///
    /// Panics where there is none.
    pub fn lose_last(&self) {
        let last = self.sim.lock().tasks.pop_last();
        last.expect("there is a task").1.end();
    }

    /// How many sockets are open.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.sim.lock().net.open()
    }

    /// How many tasks there are.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.sim.lock().tasks.len()
    }

    /// How many timers are running.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.sim.lock().timers.len()
    }

    /// How many sleeps were ever begun.
    #[must_use]
    pub fn slept(&self) -> u64 {
        self.sim.lock().slept
    }

    /// How many tasks were ever started.
    #[must_use]
    pub fn spawned(&self) -> u64 {
        self.sim.lock().spawned
    }

    /// How often a task was polled.
    #[must_use]
    pub fn polled(&self) -> u64 {
        self.sim.lock().polled
    }

    /// How often several timers were due at the same instant.
    #[must_use]
    pub fn met(&self) -> u64 {
        self.sim.lock().met
    }

    /// Dice that belong to this world.
    #[must_use]
    pub fn dice(&self, purpose: u64) -> Dice {
        self.sim.lock().dice.fork(purpose)
    }

    /// Ends the world, in which nothing may be left.
    ///
    /// # Panics
    ///
    /// Panics where a task, a timer or a socket is left.
    pub fn finish(&self) {
        self.settle();
        let inner = self.sim.lock();
        assert_eq!(inner.tasks.len(), 0, "tasks are left");
        assert_eq!(inner.timers.len(), 0, "timers are left");
        assert_eq!(inner.net.open(), 0, "sockets are left");
    }

    /// Polls one ready task, if there is one.
    fn step(&self) -> bool {
        let task = {
            let mut inner = self.sim.lock();
            if inner.ready.is_empty() {
                return false;
            }
            let count = inner.ready.len() as u64;
            let index = inner.dice.below(count) as usize;
            let number = inner.ready.swap_remove(index);
            inner.polled += 1;
            inner.tasks.get(&number).cloned()
        };
        if let Some(task) = task {
            task.run();
        }
        true
    }

    /// Moves the clock to the next timers, if they are due by `until`, and fires all of that instant: whom they
    /// wake is ready together then, and the dice decide who goes first.
    fn next_instant(&self, until: Timestamp) -> bool {
        let wakers: Vec<_> = {
            let mut inner = self.sim.lock();
            let Some(&(time, _)) = inner.timers.keys().next().filter(|(time, _)| *time <= until) else {
                return false;
            };
            inner.now = inner.now.max(time);
            let later = inner.timers.split_off(&(time, u64::MAX));
            let due = std::mem::replace(&mut inner.timers, later);
            inner.met += u64::from(due.len() > 1);
            due.into_values().collect()
        };
        wakers.into_iter().for_each(Waker::wake);
        true
    }
}

impl Drop for World {
    fn drop(&mut self) {
        CURRENT.set(None);
        // Tasks own the world they run in: a circle, unless it is broken here.
        let tasks = std::mem::take(&mut self.sim.lock().tasks);
        let ended = each_contained(tasks.into_values(), |task| task.end());
        if !std::thread::panicking() {
            ended.unwrap_or_else(|rule| panic!("{rule}"));
        }
    }
}

/// The waker of the test's own future.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of two that wake at the same instant goes first.
    fn first(seed: u64) -> u8 {
        let world = World::new(seed);
        let order = Arc::new(Mutex::new(Vec::new()));
        for number in 0..2 {
            let (order, sim) = (Arc::clone(&order), world.sim().clone());
            world.spawn(async move {
                sim.sleep_until(BEGINNING.after(Duration::from_secs(1))).await;
                order.lock().expect("nobody panics").push(number);
            });
            // So the first timer is always set before the second one.
            world.settle();
        }
        world.pass(Duration::from_secs(2));
        assert_eq!(world.met(), 1);
        world.finish();
        let order = order.lock().expect("nobody panics");
        order[0]
    }

    #[test]
    fn the_seed_decides_who_goes_first_of_those_who_wake_together() {
        let firsts: Vec<_> = (0..40).map(first).collect();
        let zeros = firsts.iter().filter(|first| **first == 0).count();
        assert!((8..=32).contains(&zeros), "{firsts:?}");
        assert_eq!(firsts, (0..40).map(first).collect::<Vec<_>>());
    }
}
