//! Random walks of the driver on the simulated runtime: whatever claimers, connectors, DNS servers and
//! runtimes do, nothing leaks, everybody who is still there is answered, and no limit is broken.

mod askers;
mod drawn;
mod retold;
mod span;

use std::future::Future;
use std::mem::ManuallyDrop;
use std::ops::AddAssign;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use qorb_core::Backend;
use qorb_core::dice::Dice;
use qorb_driver::{Denial, DnsResolver, Handle, Policy, Pool, WaitReadyError};

use self::askers::{Askers, claim, claim_in_task};
pub use self::retold::retell;
use self::retold::{retold, told};
pub(super) use self::span::{NoSpan, Span};
use super::Violation;
use super::lies::{Liar, NAMES, SERVICE};
use super::shorten::{cut, is_same, shortest};
use super::sights::{Sight, Sights};
use crate::panics::{contained, each_contained};
use crate::sim::announce::{Announcer, backend};
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
    /// The first so many names are the backends now; some of them have moved.
    fn publish(&self, count: usize, moved: [bool; NAMES.len()]) {
        match self {
            Self::Announcer(sets) => sets.publish_set((0..count).map(|at| place(at, moved[at])).collect()),
            Self::Dns(liar) => liar.publish(count, moved),
        }
    }
}

/// The backend of this number, at either of its addresses.
fn place(number: usize, moved: bool) -> Backend {
    let mut backend = backend(NAMES[number]);
    backend.address.set_port(backend.address.port() + u16::from(moved));
    backend
}

/// What came of a walk in which nothing was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Driven {
    /// How often the connector was called.
    pub calls: u64,
    /// How often a task was polled.
    pub events: u64,
    /// How often somebody was answered while another one waited.
    pub compared: u64,
    /// What was met.
    pub sights: Sights,
}

impl AddAssign for Driven {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.events += other.events;
        self.compared += other.compared;
        self.sights += other.sights;
    }
}

/// How far a walk goes.
const STEPS: u64 = 120;
/// A pool with no more connections and askers than that is recounted after every step, another one after every so
/// many.
const SMALL: usize = 12;
const SELDOM: u64 = 8;

/// Walks through the driver's world of this seed.
///
/// # Errors
///
/// Says what did not hold in the shortest walk through it in which that is so, with the log of what the pool's
/// machine was told, up to where a shadow sees something wrong in that.
pub fn walk_driver(seed: u64) -> Result<Driven, Box<Violation>> {
    attempt(Span { seed, steps: STEPS }).map_err(|rule| {
        let (steps, rule) = shortest(STEPS, rule, |steps| attempt(Span { seed, steps }).err());
        let span = Span { seed, steps };
        // It goes wrong again, or does so only where nobody remembers. What a shadow sees in what the machine was
        // told comes first.
        let (_, log) = told(span);
        let (log, seen) = cut(log, rule.clone());
        let rule = if is_same(&seen, &rule) { seen } else { format!("{seen}\nin the walk: {rule}") };
        violation(span, rule, log)
    })
}

/// What did not hold in this walk, which the log names in remarks.
fn violation(span: Span, rule: String, mut log: String) -> Box<Violation> {
    // Before its last line, which is its end.
    let end = log.trim_end().rfind('\n').map_or(0, |before| before + 1);
    let said = rule.lines().fold(format!("# {span}\n"), |said, line| said + "# " + line + "\n");
    log.insert_str(end, &said);
    Box::new(Violation { seed: span.seed, rule, log })
}

/// Walks once.
fn attempt(span: Span) -> Result<Driven, String> {
    contained(|| Walk::new(span).run())
}

/// Walks once more, with the driver's short ways and without.
pub(super) fn walk_again(span: Span) -> Result<(), String> {
    attempt(span)?;
    retold(span).map(drop).map_err(|(rule, _)| rule)
}

/// Drops all of these, the latest first. Where the driver is broken, more than one may panic.
fn each_dropped<T>(all: &mut Vec<T>) -> Result<(), String> {
    each_contained(std::mem::take(all).into_iter().rev(), drop)
}

/// Everybody who has to do with the pool in a walk and is moved by hand.
#[derive(Default)]
struct Crowd<'pool> {
    askers: Askers<'pool>,
    handles: Vec<Handle<Script, Sim>>,
    /// Those who wait until the pool is ready.
    ready: Vec<Hand<Ready<'pool>>>,
}

/// Connections that are out at the end of a walk.
type Out = ManuallyDrop<Vec<Handle<Script, Sim>>>;

type Ready<'pool> = Pin<Box<dyn Future<Output = Result<(), WaitReadyError>> + 'pool>>;

struct Walk {
    seed: u64,
    steps: u64,
    dice: Dice,
    world: World,
    script: Script,
    source: Source,
    /// Gone at the end of the walk.
    pool: Option<SimPool>,
    policy: Policy,
    ending: Ending,
    /// How many manners out of a hundred are bad.
    trouble: u64,
    /// More come than in other worlds.
    is_rush: bool,
    /// How many names were published, whether some had been and were not any more, and who has moved.
    named: usize,
    has_left: bool,
    moved: [bool; NAMES.len()],
    /// Claims in tasks, and how many of them were answered.
    asked: usize,
    answered: Arc<AtomicUsize>,
    sights: Sights,
}

impl Walk {
    fn new(span: Span) -> Self {
        let Span { seed, steps } = span;
        let mut dice = Dice::Seeded(seed).fork(99);
        let world = World::new(seed);
        let script = Script::new(world.sim());
        let policy = drawn::policy(&mut dice);
        let mut sights = Sights::default();
        sights.meet_policy(&policy);
        let (source, pool) = if dice.below(3) == 0 {
            let liar = Liar::new(&world, dice.fork(1));
            let config = drawn::config(&mut dice);
            let resolver = DnsResolver::new(SERVICE, liar.servers(), config).expect("it is sound");
            (Source::Dns(liar), Pool::new("walk", resolver, script.clone(), policy.clone()))
        } else {
            let sets = Announcer::new();
            let resolver = sets.resolver();
            (Source::Announcer(sets), Pool::new("walk", resolver, script.clone(), policy.clone()))
        };
        let pool = pool.expect("it works");
        script.watch(&pool);
        let pool = Some(pool);
        let ending = match dice.below(16) {
            0 | 1 => Ending::RuntimeVanishes,
            2 | 3 => Ending::PoolDropped,
            4 => Ending::Terminated,
            _ => Ending::Heals,
        };
        let (trouble, named) = (dice.below(60), 1 + dice.below(4) as usize);
        let is_rush = dice.below(3) == 0;
        let (moved, has_left) = ([false; NAMES.len()], false);
        source.publish(named, moved);
        let (asked, answered) = (0, Arc::default());
        Self {
            seed,
            steps,
            dice,
            world,
            script,
            source,
            pool,
            policy,
            ending,
            trouble,
            is_rush,
            named,
            has_left,
            moved,
            asked,
            answered,
            sights,
        }
    }

    fn pool(&self) -> &SimPool {
        self.pool.as_ref().expect("it is there until the end")
    }

    /// What a driver leaves that broke a rule is not dropped: that might break another one, and a panic while
    /// another one unwinds is the end of the program.
    fn run(self) -> Result<Driven, String> {
        let mut walk = ManuallyDrop::new(self);
        let driven = contained(|| {
            let pool = walk.pool().clone();
            let (compared, out) = walk.go(&pool)?;
            drop(pool);
            Ok(Driven { compared, ..walk.end(out)? })
        })?;
        drop(ManuallyDrop::into_inner(walk));
        Ok(driven)
    }

    /// Walks to the end of its time, and gives how often somebody was answered while another one waited, and
    /// the connections that are out.
    fn go(&mut self, pool: &SimPool) -> Result<(u64, Out), String> {
        let mut crowd = ManuallyDrop::new(Crowd::default());
        for step in 1..=self.steps {
            self.step(pool, &mut crowd)?;
            if self.ending == Ending::RuntimeVanishes && step == self.steps * 3 / 4 {
                self.world.vanish();
            }
            let (open, cap) = (self.script.most(), self.policy.max_slots);
            if open > cap {
                return Err(format!("C7: {open} connections, {cap} are allowed"));
            }
            crowd.askers.judge()?;
            let size = open + crowd.askers.len();
            if size <= SMALL || step.is_multiple_of(SELDOM) {
                pool.audit()?;
            }
        }
        pool.audit()?;
        match self.ending {
            Ending::Heals => {
                self.sights.meet(Sight::Healed);
                crowd.askers.leave()?;
                each_dropped(&mut crowd.handles)?;
                self.heal(pool);
                pool.audit()?;
            }
            Ending::RuntimeVanishes => {
                self.sights.meet(Sight::RuntimeGone);
                self.world.vanish();
                crowd.askers.leave()?;
                each_dropped(&mut crowd.handles)?;
                let late = self.world.run_until(pool.claim()).expect_err("the runtime is gone");
                assert_eq!(late.kind, Denial::Terminated, "seed {}", self.seed);
            }
            Ending::PoolDropped => {
                self.sights.meet(Sight::PoolDropped);
                crowd.askers.leave()?;
            }
            Ending::Terminated => {
                self.sights.meet(Sight::Terminated);
                self.world.run_until(pool.terminate());
                let Crowd { askers, ready, .. } = &mut *crowd;
                let told = askers.are_answered() && ready.iter_mut().all(|one| one.poll().is_ready());
                assert!(told, "seed {}: somebody waits for a pool that has ended", self.seed);
                askers.leave()?;
                pool.audit()?;
            }
        }
        each_dropped(&mut crowd.ready)?;
        Ok((crowd.askers.compared, ManuallyDrop::new(std::mem::take(&mut crowd.handles))))
    }

    /// Something happens.
    fn step<'pool>(&mut self, pool: &'pool SimPool, crowd: &mut Crowd<'pool>) -> Result<(), String> {
        let Crowd { askers, handles, ready } = crowd;
        let dice = &mut self.dice;
        let roll = dice.below(25);
        let roll = if self.is_rush && roll >= 14 && dice.below(2) == 0 { 0 } else { roll };
        match roll {
            0..4 => {
                askers.come(claim(pool, dice));
                if dice.below(2) == 0 {
                    let newest = askers.newest();
                    self.look_after(newest, crowd)?;
                }
            }
            4 | 5 if !askers.is_empty() => {
                let asked = askers.abandon(dice);
                self.sights.meet_if(asked, Sight::Abandoned);
            }
            6..10 if !askers.is_empty() => {
                let index = askers.anybody(dice);
                self.look_after(index, crowd)?;
            }
            10..14 if !handles.is_empty() => {
                let handle = handles.swap_remove(dice.below(handles.len() as u64) as usize);
                self.give_back(handle);
            }
            14 | 15 => {
                let hold = span(dice, 200);
                claim_in_task(&self.world, pool, &self.answered, hold);
                self.asked += 1;
            }
            16 | 17 => self.publish(),
            18..22 => self.direct(),
            22 => {
                ready.push(Hand::new(Box::pin(pool.wait_ready(dice.below(5) as usize))));
                ready.retain_mut(|one| one.poll().is_pending());
            }
            _ => self.world.pass(span(dice, 2_000)),
        }
        Ok(())
    }

    fn look_after(&mut self, index: usize, crowd: &mut Crowd<'_>) -> Result<(), String> {
        let look = crowd.askers.look(index, self.world.elapsed())?;
        self.sights.meet_if(look.away > Duration::from_secs(1), Sight::Parked);
        if let Poll::Ready(result) = look.answer {
            crowd.handles.extend(result);
        }
        Ok(())
    }

    fn give_back(&mut self, mut handle: Handle<Script, Sim>) {
        match self.dice.below(10) {
            0 => {
                self.sights.meet(Sight::Broken);
                handle.discard();
            }
            1 => {
                self.sights.meet(Sight::Detached);
                drop(handle.detach());
            }
            // Its peer has gone, which nobody knows before somebody looks.
            2 => {
                self.sights.meet(Sight::Broken);
                handle.broken = true;
            }
            _ => drop(handle),
        }
    }

    /// The set changes: backends leave and join, and now and then one is elsewhere.
    fn publish(&mut self) {
        let named = self.dice.below(5) as usize;
        if self.dice.below(3) == 0 {
            let number = self.dice.below(4) as usize;
            self.moved[number] = !self.moved[number];
            self.sights.meet_if(number < named.min(self.named), Sight::Moved);
        }
        self.sights.meet_if(self.has_left && named > self.named, Sight::Flapped);
        self.has_left |= named < self.named;
        self.named = named;
        self.source.publish(named, self.moved);
    }

    /// Once everything works again, everything works again.
    fn heal(&self, pool: &SimPool) {
        let Self { seed, world, script, .. } = self;
        for name in NAMES {
            for method in METHODS {
                script.set(name, method, Act::PASS);
            }
        }
        if let Source::Dns(liar) = &self.source {
            liar.repent();
        }
        self.source.publish(NAMES.len(), self.moved);
        world.pass(Duration::from_secs(600));
        // Whoever may not wait is served where a connection is idle.
        let refused = self.policy.max_waiting == 0 && self.policy.spares_wanted == 0;
        match world.run_until(pool.claim_within(Duration::from_secs(60))) {
            Ok(handle) => drop(handle),
            Err(error) if refused && error.kind == Denial::TooManyWaiting => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
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
    fn end(&mut self, mut out: Out) -> Result<Driven, String> {
        drop(self.pool.take());
        let mut sights = self.sights;
        let Self { seed, world, script, source, .. } = self;
        world.settle();
        each_dropped(&mut out)?;
        world.settle();
        // Claimers in tasks have their connections to the end, and datagrams are still on their way.
        world.pass(Duration::from_secs(60));
        assert_eq!(script.all_live(), 0, "seed {seed}: connections are left");
        assert_eq!(script.complaints(), Vec::<String>::new(), "seed {seed}");
        match source {
            Source::Announcer(sets) => assert!(!sets.is_heard(), "seed {seed}: the resolver is left"),
            Source::Dns(liar) => sights += liar.told(),
        }
        meet_ends(script, &mut sights);
        sights.meet_if(world.met() > 0, Sight::SameInstant);
        let driven = Driven { calls: script.count() as u64, events: world.polled(), compared: 0, sights };
        world.finish();
        Ok(driven)
    }

    /// Gives some method of some backend another manner.
    fn direct(&mut self) {
        let dice = &mut self.dice;
        let name = NAMES[dice.below(4) as usize];
        let method = METHODS[dice.below(4) as usize];
        let then = match dice.below(100) {
            roll if roll >= self.trouble => Then::Pass,
            roll => [Then::Fail, Then::Hang, Then::Panic][roll as usize % 3],
        };
        let set = &self.policy.set_config;
        let bound = if method == Method::Connect { set.connect_timeout } else { set.health_check_timeout };
        // What may take for ever, and does, keeps its slot, as its owner wished.
        let then = if then == Then::Hang && bound == Duration::MAX { Then::Fail } else { then };
        let after = if dice.below(2) == 0 { Duration::ZERO } else { span(dice, 300) };
        self.script.set(name, method, Act { after, then });
    }
}

const METHODS: [Method; 4] = [Method::Connect, Method::Check, Method::Acquire, Method::Recycle];

/// Meets all that methods came to.
fn meet_ends(script: &Script, sights: &mut Sights) {
    let met = |method, then| script.ends(method, then) > 0;
    let later = [Method::Check, Method::Acquire, Method::Recycle];
    sights.meet_if(script.took_time() > 0, Sight::Slow);
    sights.meet_if(met(Method::Connect, Then::Fail), Sight::Refused);
    sights.meet_if(met(Method::Connect, Then::Hang), Sight::BlackHole);
    sights.meet_if(later.iter().any(|method| met(*method, Then::Fail)), Sight::ClosedSoon);
    sights.meet_if(later.iter().any(|method| met(*method, Then::Hang)), Sight::HalfOpen);
    sights.meet_if(METHODS.iter().any(|method| met(*method, Then::Panic)), Sight::Panicked);
    sights.meet_if(met(Method::Acquire, Then::Fail), Sight::Rejected);
    sights.meet_if(met(Method::Recycle, Then::Pass), Sight::Recycled);
}

fn span(dice: &mut Dice, most: u64) -> Duration {
    Duration::from_millis(dice.below(most + 1))
}
