//! Random walks of the driver on the simulated runtime: whatever claimers, connectors, DNS servers and
//! runtimes do, nothing leaks, everybody who is still there is answered, and no limit is broken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use std::{env, fs, process};

use qorb_core::Timestamp;
use qorb_core::dice::Dice;
use qorb_core::pool::{Beginning, PoolMachine};
use qorb_core::record::Recorder;
use qorb_driver::{Claim, Denial, DnsResolver, DnsResolverConfig, Handle, Policy, Pool};

use super::Violation;
use super::lies::{Liar, NAMES, SERVICE};
use crate::panics::contained;
use crate::sim::announce::Announcer;
use crate::sim::hand::Hand;
use crate::sim::script::{Act, Method, Script, SimPool, Then};
use crate::sim::{Sim, World};

/// How a walk ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    /// Everything works again, and so does the pool.
    Heals,
    /// The runtime goes away in the middle.
    RuntimeVanishes,
    /// The pool is dropped while connections are out.
    PoolDropped,
    /// It is terminated while connections are out and claims wait.
    Terminated,
}

/// Where the pool learns its backends from.
enum Source {
    Announcer(Announcer),
    Dns(Liar),
}

impl Source {
    /// The first so many names are the backends now.
    fn publish(&self, count: usize) {
        match self {
            Self::Announcer(sets) => sets.publish(&NAMES[..count]),
            Self::Dns(liar) => liar.publish(count),
        }
    }
}

/// What is before the seed in a log of such a walk.
const REMARK: &str = "the driver's walk ";
/// More events than any walk has.
const ALL: usize = 1 << 20;

/// Walks through the driver's world of this seed, and says how often its connector was called.
///
/// # Errors
///
/// Says what did not hold, with the log of what the pool's machine was told, as long as there was a pool.
pub fn walk_driver(seed: u64) -> Result<u64, Box<Violation>> {
    attempt(seed).map_err(|rule| {
        let mut log = recorded(seed);
        // Before its last line, which is its end.
        let end = log.trim_end().rfind('\n').map_or(0, |before| before + 1);
        let said = rule.lines().fold(format!("# {REMARK}{seed}\n"), |said, line| said + "# " + line + "\n");
        log.insert_str(end, &said);
        Box::new(Violation { seed, rule, log })
    })
}

/// Walks once.
pub(super) fn attempt(seed: u64) -> Result<u64, String> {
    contained(|| Ok(Walk::new(seed).run()))
}

/// Which walk a log is from, if this remark in it says so.
pub(super) fn remarked(text: &str) -> Option<u64> {
    text.strip_prefix(REMARK)?.parse().ok()
}

/// Walks through the world of this seed with a pool that remembers all that happens to it, which takes no short
/// ways; and gives its log, to the end of the pool or of the walk.
#[must_use]
pub fn recorded(seed: u64) -> String {
    let beginning = Beginning::New { policy: Policy::default(), dice: Dice::Fixed, at: Timestamp::EPOCH };
    let nothing = Recorder::<PoolMachine>::new(beginning).expect("the default is valid").log();
    let log = Arc::new(Mutex::new(nothing));
    // What goes wrong is known, or goes wrong only where nobody remembers.
    let _ = contained(|| {
        let mut walk = Walk::new(seed);
        walk.pool.record(ALL);
        walk.scribe = Some(Scribe { seed, pool: walk.pool.clone(), log: Arc::clone(&log) });
        Ok(walk.run())
    });
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.clone()
}

/// Keeps what a pool remembers, at the very end of it.
struct Scribe {
    seed: u64,
    pool: SimPool,
    log: Arc<Mutex<String>>,
}

impl Drop for Scribe {
    fn drop(&mut self) {
        let path = env::temp_dir().join(format!("qorb-walk-{}-{}.log", process::id(), self.seed));
        // Without a file, the log is that of a pool to which nothing happens.
        if let Ok(log) = self.pool.record_to(&path).and_then(|()| fs::read_to_string(&path)) {
            *self.log.lock().unwrap_or_else(PoisonError::into_inner) = log;
        }
        let _ = fs::remove_file(&path);
    }
}

struct Walk {
    /// Goes first where the walk breaks off.
    scribe: Option<Scribe>,
    seed: u64,
    dice: Dice,
    world: World,
    script: Script,
    source: Source,
    pool: SimPool,
    cap: usize,
    ending: Ending,
    /// How many manners out of a hundred are bad.
    trouble: u64,
    /// Claims in tasks, and how many of them were answered.
    asked: usize,
    answered: Arc<AtomicUsize>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::Seeded(seed).fork(99);
        let world = World::new(seed);
        let script = Script::new(world.sim());
        let policy = policy(&mut dice);
        let cap = policy.max_slots;
        let (source, pool) = if dice.below(3) == 0 {
            let liar = Liar::new(&world, dice.fork(1));
            let config = DnsResolverConfig::default();
            let resolver = DnsResolver::new(SERVICE, liar.servers(), config).expect("it is sound");
            (Source::Dns(liar), Pool::new("walk", resolver, script.clone(), policy))
        } else {
            let sets = Announcer::new();
            let resolver = sets.resolver();
            (Source::Announcer(sets), Pool::new("walk", resolver, script.clone(), policy))
        };
        let pool = pool.expect("it works");
        script.watch(&pool);
        source.publish(1 + dice.below(4) as usize);
        let ending = match dice.below(16) {
            0 | 1 => Ending::RuntimeVanishes,
            2 | 3 => Ending::PoolDropped,
            4 => Ending::Terminated,
            _ => Ending::Heals,
        };
        let trouble = dice.below(60);
        let answered = Arc::default();
        let scribe = None;
        Self { scribe, seed, dice, world, script, source, pool, cap, ending, trouble, asked: 0, answered }
    }

    fn run(mut self) -> u64 {
        let pool = self.pool.clone();
        let mut hands: Vec<Hand<Claim<'_, Script, Sim>>> = Vec::new();
        let mut handles: Vec<Handle<Script, Sim>> = Vec::new();
        for step in 0..120 {
            self.step(&pool, &mut hands, &mut handles);
            if self.ending == Ending::RuntimeVanishes && step == 90 {
                self.world.vanish();
            }
            let (open, cap) = (self.script.most(), self.cap);
            assert!(open <= cap, "seed {}, step {step}: {open} connections, {cap} are allowed", self.seed);
        }
        match self.ending {
            Ending::Heals => {
                drop((hands, std::mem::take(&mut handles)));
                self.heal();
            }
            Ending::RuntimeVanishes => {
                drop((hands, std::mem::take(&mut handles)));
                let late = self.world.run_until(self.pool.claim()).expect_err("the runtime is gone");
                assert_eq!(late.kind, Denial::Terminated, "seed {}", self.seed);
            }
            Ending::PoolDropped => drop(hands),
            Ending::Terminated => {
                self.world.run_until(self.pool.terminate());
                let denied = hands.iter_mut().all(|hand| hand.poll().is_ready());
                assert!(denied, "seed {}: somebody waits for a pool that has ended", self.seed);
                drop(hands);
            }
        }
        drop(pool);
        self.end(handles)
    }

    /// Something happens.
    fn step<'pool>(
        &mut self,
        pool: &'pool SimPool,
        hands: &mut Vec<Hand<Claim<'pool, Script, Sim>>>,
        handles: &mut Vec<Handle<Script, Sim>>,
    ) {
        let dice = &mut self.dice;
        match dice.below(12) {
            0 | 1 => hands.push(Hand::new(pool.claim_within(span(dice, 3_000)))),
            2 if !hands.is_empty() => drop(hands.swap_remove(dice.below(hands.len() as u64) as usize)),
            3 | 4 if !hands.is_empty() => {
                let index = dice.below(hands.len() as u64) as usize;
                if let Poll::Ready(result) = hands[index].poll() {
                    drop(hands.swap_remove(index));
                    handles.extend(result);
                }
            }
            5 | 6 if !handles.is_empty() => {
                let handle = handles.swap_remove(dice.below(handles.len() as u64) as usize);
                match dice.below(10) {
                    0 => handle.discard(),
                    1 => drop(handle.detach()),
                    _ => drop(handle),
                }
            }
            7 => {
                let hold = span(dice, 200);
                claim_in_task(&self.world, pool, &self.answered, hold);
                self.asked += 1;
            }
            8 => self.source.publish(dice.below(5) as usize),
            9 | 10 => direct(&self.script, dice, self.trouble),
            _ => self.world.pass(span(dice, 2_000)),
        }
    }

    /// Once everything works again, everything works again.
    fn heal(&self) {
        let Self { seed, world, script, pool, .. } = self;
        for name in NAMES {
            for method in [Method::Connect, Method::Check, Method::Acquire, Method::Recycle] {
                script.set(name, method, Act::PASS);
            }
        }
        if let Source::Dns(liar) = &self.source {
            liar.repent();
        }
        self.source.publish(NAMES.len());
        world.pass(Duration::from_secs(600));
        let handle = world.run_until(pool.claim()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        drop(handle);
        let stats = pool.stats();
        assert_eq!((stats.waiting, stats.handles.len()), (0, 0), "seed {seed}");
        world.settle();
        let backends = pool.stats().backends;
        assert_eq!(backends.len(), NAMES.len(), "seed {seed}: all are found");
        let slots: usize = backends.iter().map(|of| of.unclaimed_slots + of.checking_slots).sum();
        assert_eq!(slots, script.all_live(), "seed {seed}: every connection is accounted for");
        let answered = self.answered.load(Ordering::Relaxed);
        assert_eq!(answered, self.asked, "seed {seed}: claims in tasks are all answered");
    }

    /// The pool goes, perhaps while connections are out, and with it everything.
    fn end(self, out: Vec<Handle<Script, Sim>>) -> u64 {
        let Self { scribe, seed, world, script, source, pool, .. } = self;
        drop((scribe, pool));
        world.settle();
        drop(out);
        world.settle();
        // Claimers in tasks have their connections to the end, and datagrams are still on their way.
        world.pass(Duration::from_secs(60));
        assert_eq!(script.all_live(), 0, "seed {seed}: connections are left");
        assert_eq!(script.complaints(), Vec::<String>::new(), "seed {seed}");
        if let Source::Announcer(sets) = &source {
            assert!(!sets.is_heard(), "seed {seed}: the resolver is left");
        }
        world.finish();
        script.count() as u64
    }
}

fn policy(dice: &mut Dice) -> Policy {
    let mut policy = Policy {
        max_slots: 1 + dice.below(8) as usize,
        spares_wanted: dice.below(6) as usize,
        max_waiting: if dice.below(4) == 0 { 2 } else { 1_000 },
        rebalance_interval: Duration::from_secs(1 + dice.below(5)),
        ..Policy::default()
    };
    policy.set_config.max_count = 1 + dice.below(8) as usize;
    policy.set_config.max_connection_backoff = Duration::from_millis(20 + dice.below(1_000));
    policy.set_config.health_interval = Duration::from_millis(200 + dice.below(5_000));
    policy.set_config.health_check_timeout = Duration::from_millis(50 + dice.below(500));
    policy.set_config.connect_timeout = Duration::from_millis(50 + dice.below(2_000));
    policy
}

fn span(dice: &mut Dice, most: u64) -> Duration {
    Duration::from_millis(dice.below(most + 1))
}

/// Gives some method of some backend another manner.
fn direct(script: &Script, dice: &mut Dice, trouble: u64) {
    let name = NAMES[dice.below(4) as usize];
    let methods = [Method::Connect, Method::Check, Method::Acquire, Method::Recycle];
    let method = methods[dice.below(4) as usize];
    let then = match dice.below(100) {
        roll if roll >= trouble => Then::Pass,
        roll => [Then::Fail, Then::Hang, Then::Panic][roll as usize % 3],
    };
    let after = if dice.below(2) == 0 { Duration::ZERO } else { span(dice, 300) };
    script.set(name, method, Act { after, then });
}

/// A well-behaved claimer: claims, holds for a while, returns.
fn claim_in_task(world: &World, pool: &SimPool, answered: &Arc<AtomicUsize>, hold: Duration) {
    let (pool, answered, sim) = (pool.clone(), Arc::clone(answered), world.sim().clone());
    world.spawn(async move {
        let result = pool.claim_within(Duration::from_secs(20)).await;
        if result.is_ok() {
            sim.sleep(hold).await;
        }
        drop(result);
        answered.fetch_add(1, Ordering::Relaxed);
    });
}
