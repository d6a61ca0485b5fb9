//! Where nobody is in anybody's way: what a claim and its release cost alone, over many backends and slots, and
//! with many behind.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::contenders::{
    Bare, Contender, Each, Floor, Nothing, OnTokio, Servers, everybody, nobody, original, policy, r2d2,
    smol_pool, tokio_pool,
};
use super::report::{Column, Goal, Lane, Table};
use super::{Effort, SLOTS, single};

const NANOS: Column = Column { name: "ns", digits: 0 };
const ALLOCATIONS: Column = Column { name: "allocations", digits: 2 };

/// One task that claims and lets go.
async fn alone<T: Contender>(pool: &T, cycles: u32) {
    for _ in 0..cycles {
        std::hint::black_box(&pool.claim().await);
    }
}

fn nanos(cycles: u32, act: impl FnOnce()) -> f64 {
    let began = Instant::now();
    act();
    began.elapsed().as_nanos() as f64 / f64::from(cycles)
}

/// Every claim but the first sixteen waits until an earlier one's connection returns, all in one task.
async fn in_turns<T: Contender>(pool: &T, cycles: u32, behind: usize) -> Duration {
    let mut held = VecDeque::with_capacity(SLOTS);
    for _ in 0..SLOTS {
        held.push_back(pool.claim().await);
    }
    let mut waiting = VecDeque::with_capacity(behind + 1);
    for _ in 0..behind {
        let mut claim = Box::pin(pool.claim());
        assert!(is_pending(claim.as_mut()).await, "every connection is out");
        waiting.push_back(claim);
    }
    let mut claims: Vec<_> = (0..cycles).map(|_| Some(Box::pin(pool.claim()))).collect();
    let began = Instant::now();
    for claim in &mut claims {
        let mut claim = claim.take().expect("once each");
        assert!(is_pending(claim.as_mut()).await, "every connection is out");
        waiting.push_back(claim);
        drop(held.pop_front());
        held.push_back(waiting.pop_front().expect("one at least").await);
    }
    began.elapsed()
}

async fn is_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Runs something as a task, which is how servers run it, and waits for it.
fn in_task<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(runtime.spawn(work)).expect("no task panics")
}

/// Allocations of each cycle: what those of twice as many are more.
fn allocations(spin: impl Fn(u32)) -> f64 {
    let count = |cycles| allocation_counter::measure(|| spin(cycles)).count_total as f64;
    count(1000);
    (count(2000) - count(1000)) / 1000.0
}

fn alone_lane(name: &'static str, cycles: u32, spin: impl Fn(u32) + 'static) -> Lane {
    let allocated = allocations(&spin);
    Lane::new(name, move || vec![nanos(cycles, || spin(cycles)), allocated])
}

struct Alone<'a> {
    runtime: &'a Arc<Runtime>,
    cycles: u32,
}

impl Each<u64> for Alone<'_> {
    type Made = Lane;

    fn each<T: Contender<Connection = u64>>(&mut self, name: &'static str, contender: T) -> Lane {
        let (runtime, cycles) = (Arc::clone(self.runtime), self.cycles);
        let contender = Arc::new(contender);
        alone_lane(name, cycles, move |cycles| {
            let contender = Arc::clone(&contender);
            in_task(&runtime, async move { alone(&*contender, cycles).await });
        })
    }
}

/// A claim and its release, where a connection rests.
pub(crate) fn uncontended(effort: Effort) -> Table {
    let cycles = effort.pick(5_000, 50_000);
    let runtime = single();
    let mut each = Alone { runtime: &runtime, cycles };
    let mut lanes = everybody(&runtime, &nobody(), SLOTS, &mut each);
    lanes.push(each.each("r2d2 0.8 (blocks)", r2d2(SLOTS)));
    lanes.push(each.each("mutex", Bare(runtime.block_on(Floor::new(&nobody(), SLOTS)))));
    let on_smol = Arc::new(smol::block_on(smol_pool(SLOTS)));
    lanes.push(alone_lane("qorb, smol", cycles, move |cycles| {
        let (executor, on_smol) = (smol::LocalExecutor::new(), Arc::clone(&on_smol));
        let task = executor.spawn(async move { alone(&*on_smol, cycles).await });
        smol::block_on(executor.run(task));
    }));
    let columns = [NANOS, ALLOCATIONS];
    let about = "A claim and its release where a connection rests, in one task.";
    Table::measure("uncontended", about, &columns, effort.rounds(), lanes).goals(|table| {
        let mut goals = Vec::new();
        for ours in ["qorb, tokio", "qorb, smol"] {
            let compared = |to: &str| (format!("{ours} / {to}"), table.at(ours, 0) / table.at(to, 0));
            for (limit, to) in [(0.5, "deadpool 0.13"), (2.5, "mutex"), (1.0 / 15.0, "qorb 0.4.1")] {
                let (what, reached) = compared(to);
                goals.push(Goal::at_most(limit, what, reached));
            }
            goals.push(Goal::at_most(0.0, format!("{ours}, allocations"), table.at(ours, 1)));
        }
        goals
    })
}

struct InTurns<'a> {
    runtime: &'a Arc<Runtime>,
    cycles: u32,
}

impl Each<u64> for InTurns<'_> {
    type Made = Lane;

    fn each<T: Contender<Connection = u64>>(&mut self, name: &'static str, contender: T) -> Lane {
        let (runtime, cycles) = (Arc::clone(self.runtime), self.cycles);
        let contender = Arc::new(contender);
        let spin = move |cycles: u32| {
            let contender = Arc::clone(&contender);
            let spent = in_task(&runtime, async move { in_turns(&*contender, cycles, 0).await });
            spent.as_nanos() as f64 / f64::from(cycles)
        };
        // One of them is the measuring's own: the claim on the heap.
        let allocated = allocations(|cycles| _ = spin(cycles)) - 1.0;
        Lane::new(name, move || vec![spin(cycles), allocated])
    }
}

/// A claim that waits until another's connection returns.
pub(crate) fn waiting(effort: Effort) -> Table {
    let runtime = single();
    let mut each = InTurns { runtime: &runtime, cycles: effort.pick(1_000, 10_000) };
    let lanes = everybody(&runtime, &nobody(), SLOTS, &mut each);
    let columns = [NANOS, ALLOCATIONS];
    let about = "A claim that waits until another one's connection returns, in one task.";
    let table = Table::measure("waiting", about, &columns, effort.rounds(), lanes);
    table.goals(|table| vec![Goal::at_most(0.0, "allocations", table.at("qorb, tokio", 1))])
}

/// Our pool over many backends and slots, and with many claims behind.
pub(crate) fn sizes(effort: Effort) -> Table {
    let runtime = single();
    let cycles = effort.pick(5_000, 50_000);
    let mut lanes = Vec::new();
    let cases = [(1, SLOTS), (10, SLOTS), (100, SLOTS), (1000, SLOTS), (10_000, SLOTS), (1, 10_000)];
    for (backends, slots) in cases {
        let pool = Arc::new(runtime.block_on(spread(backends, slots)));
        let runtime = Arc::clone(&runtime);
        lanes.push(Lane::new(format!("alone, {backends} backends, {slots} slots"), move || {
            let pool = Arc::clone(&pool);
            vec![nanos(cycles, || in_task(&runtime, async move { alone(&*pool, cycles).await }))]
        }));
    }
    let cycles = effort.pick(1_000, 10_000);
    for behind in [0, 10_000] {
        let pool = Arc::new(runtime.block_on(tokio_pool(&nobody(), SLOTS)));
        let runtime = Arc::clone(&runtime);
        lanes.push(Lane::new(format!("waiting, {behind} behind"), move || {
            let pool = Arc::clone(&pool);
            let spent = in_task(&runtime, async move { in_turns(&*pool, cycles, behind).await });
            vec![spent.as_nanos() as f64 / f64::from(cycles)]
        }));
    }
    let about = "Our pool on tokio: a claim and its release over many backends and slots, and a claim \
                 that waits with others behind it.";
    Table::measure("sizes", about, &[NANOS], effort.rounds(), lanes).goals(|table| {
        let backends = Goal::at_most(1.3, "backends and slots, most / least", table.apart("alone", 0));
        vec![backends, Goal::at_most(1.3, "waiting, most / least", table.apart("waiting", 0))]
    })
}

/// Addresses of so many backends.
pub(crate) fn many(backends: usize) -> Vec<SocketAddr> {
    (0..backends).map(|n| ([127, 1, (n / 250) as u8, (n % 250) as u8], 1).into()).collect()
}

async fn spread(backends: usize, slots: usize) -> OnTokio<Nothing> {
    tokio_pool(&Servers::new(Nothing, &many(backends)), slots).await
}

/// How long a claim takes to be served behind so many that were given up.
async fn behind_the_dropped<T: Contender>(pool: &T, dropped: usize) -> f64 {
    let mut held = Vec::with_capacity(SLOTS);
    for _ in 0..SLOTS {
        held.push(pool.claim().await);
    }
    let mut given_up = Vec::with_capacity(dropped);
    for _ in 0..dropped {
        let mut claim = Box::pin(pool.claim());
        assert!(is_pending(claim.as_mut()).await, "every connection is out");
        given_up.push(claim);
    }
    let mut claim = Box::pin(pool.claim());
    assert!(is_pending(claim.as_mut()).await, "every connection is out");
    drop(given_up);
    let began = Instant::now();
    drop(held.pop());
    drop(claim.await);
    began.elapsed().as_nanos() as f64 / 1e3
}

struct Dropped<'a> {
    runtime: &'a Arc<Runtime>,
}

impl Each<u64> for Dropped<'_> {
    type Made = Lane;

    fn each<T: Contender<Connection = u64>>(&mut self, name: &'static str, contender: T) -> Lane {
        let (runtime, contender) = (Arc::clone(self.runtime), Arc::new(contender));
        Lane::new(name, move || {
            let contender = Arc::clone(&contender);
            vec![in_task(&runtime, async move { behind_the_dropped(&*contender, 10_000).await })]
        })
    }
}

/// A live claim behind ten thousand that were given up.
pub(crate) fn dropped(effort: Effort) -> Table {
    let runtime = single();
    let lanes = everybody(&runtime, &nobody(), SLOTS, &mut Dropped { runtime: &runtime });
    let columns = [Column { name: "µs", digits: 1 }];
    let about = "From a connection's return to the grant of a claim that came after 10 000 others, which \
                 were dropped.";
    let table = Table::measure("behind the dropped", about, &columns, effort.pick(3, 11) as usize, lanes);
    table.goals(|table| vec![Goal::at_most(20.0, "µs", table.at("qorb, tokio", 0))])
}

/// What the pool itself keeps on the heap for a connection.
pub(crate) fn memory(effort: Effort) -> Table {
    let live = |slots: usize| {
        let runtime = single();
        let mut kept = None;
        let counted = allocation_counter::measure(|| {
            kept = Some(runtime.block_on(tokio_pool(&nobody(), slots)));
        });
        counted.bytes_current as f64
    };
    let (most, least) = (1001, 1);
    let lane = Lane::new("qorb, tokio", move || {
        let each = (live(most) - live(least)) / (most - least) as f64;
        vec![each - size_of::<u64>() as f64]
    });
    let columns = [Column { name: "bytes", digits: 0 }];
    let about = "Live heap for each connection of a pool of a thousand, beyond the connection itself.";
    let table = Table::measure("memory", about, &columns, effort.pick(1, 3) as usize, vec![lane]);
    table.goals(|table| vec![Goal::at_most(256.0, "bytes", table.at("qorb, tokio", 0))])
}

/// A connect that takes its time, to a thousand backends.
#[derive(Clone)]
struct Slow;

const CONNECT: Duration = Duration::from_millis(50);

impl qorb_tokio::Connector for Slow {
    type Connection = u64;
    type Error = std::convert::Infallible;

    async fn connect(&self, _: &qorb_tokio::Backend) -> Result<u64, Self::Error> {
        tokio::time::sleep(CONNECT).await;
        Ok(7)
    }
}

/// Until all connections of a new pool stand.
pub(crate) fn cold(effort: Effort) -> Table {
    let lane = Lane::new("qorb, tokio", || {
        let (runtime, set) = (single(), many(1000));
        let began = Instant::now();
        runtime.block_on(async {
            let resolver = qorb_tokio::FixedResolver::new(set);
            let pool = qorb_tokio::Pool::new("bench", resolver, Slow, policy(SLOTS)).expect("a valid policy");
            pool.wait_ready(SLOTS).await.expect("connected");
        });
        vec![began.elapsed().saturating_sub(CONNECT).as_nanos() as f64 / 1e6]
    });
    let columns = [Column { name: "ms", digits: 1 }];
    let about = "A new pool of 16 slots over 1000 backends: until all are connected, beyond the time that one \
                 connect takes.";
    let table = Table::measure("cold start", about, &columns, effort.pick(3, 9) as usize, vec![lane]);
    table.goals(|table| vec![Goal::at_most(20.0, "ms", table.at("qorb, tokio", 0))])
}

/// What a pool does that nobody uses.
pub(crate) fn idle(effort: Effort) -> Table {
    let span = Duration::from_secs(u64::from(effort.pick(2, 10)));
    let rest = move |pool: bool, original_pool: bool| {
        let runtime = single();
        runtime.block_on(async {
            let ours = if pool { Some(idle_pool().await) } else { None };
            let theirs = if original_pool { Some(original(&nobody(), SLOTS).await) } else { None };
            // What the beginning left to do; and the timers of all begin alike, for how often a runtime looks at a long
            // one depends on when it began.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let before = switches();
            tokio::time::sleep(span).await;
            let woken = switches() - before;
            drop((ours, theirs));
            vec![woken]
        })
    };
    let lanes = vec![
        Lane::new("nothing", move || rest(false, false)),
        Lane::new("qorb, tokio", move || rest(true, false)),
        Lane::new("qorb 0.4.1", move || rest(false, true)),
    ];
    let columns = [Column { name: "wake-ups", digits: 0 }];
    let about = format!(
        "How often the thread of a runtime wakes up in {} s beside a balanced pool that nobody uses, without \
         health checks in ours; the end of the measurement itself is in it.",
        span.as_secs()
    );
    Table::measure("idle", about, &columns, 1, lanes).goals(|table| {
        let more = table.at("qorb, tokio", 0) - table.at("nothing", 0);
        vec![Goal::at_most(0.0, "wake-ups beyond those of nothing", more)]
    })
}

async fn idle_pool() -> qorb_tokio::Pool<Servers<Nothing>> {
    let mut policy = policy(SLOTS);
    policy.set_config.health_interval = Duration::MAX;
    // The pool looks once whether its first connects have taken too long: before anything is measured.
    policy.set_config.connect_timeout = Duration::from_millis(100);
    let servers = nobody();
    let resolver = qorb_tokio::FixedResolver::new(servers.addresses.iter().copied());
    let pool = qorb_tokio::Pool::new("bench", resolver, servers, policy).expect("a valid policy");
    pool.wait_ready(SLOTS).await.expect("connected");
    pool
}

/// How often this thread has gone to sleep, and thus was woken up.
fn switches() -> f64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(f64::NAN)
}
