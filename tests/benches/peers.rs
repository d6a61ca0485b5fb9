//! How fast a claim and its release are, beside the newest pools of others, in one process.
//!
//! ```text
//! cargo bench -p qorb-tests --features peers --bench peers [-- --quick] [--only NAME]
//! ```
//!
//! Everybody hands out the same connection that does nothing, 16 of them, on tokio. Rounds are
//! interleaved, so that what the machine does meanwhile hits everybody; a figure is the median of its
//! rounds, with the least beside it. `floor` is a mutex around a vector, behind a semaphore where tasks
//! have to wait: none of a pool's duties.

mod nothing;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qorb_tokio::Pool;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, SemaphorePermit};

use self::nothing::{Nothing, SLOTS};

const TASKS: usize = 64;

/// A pool, or what is measured in place of one.
trait Contender: Send + Sync + 'static {
    const NAME: &'static str;
    type Held<'a>: Send
    where
        Self: 'a;

    fn claim(&self) -> impl Future<Output = Self::Held<'_>> + Send;
}

struct Qorb(Pool<Nothing>);

impl Contender for Qorb {
    const NAME: &'static str = "qorb";
    type Held<'a> = qorb_tokio::Handle<Nothing>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.claim().await.expect("granted")
    }
}

impl bb8::ManageConnection for Nothing {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

struct Bb8(bb8::Pool<Nothing>);

impl Contender for Bb8 {
    const NAME: &'static str = "bb8";
    type Held<'a> = bb8::PooledConnection<'a, Nothing>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.get().await.expect("granted")
    }
}

impl deadpool::managed::Manager for Nothing {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn recycle(
        &self,
        _: &mut u64,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

type Deadpool = deadpool::managed::Pool<Nothing>;

struct DeadpoolTimed(Deadpool);

impl Contender for DeadpoolTimed {
    const NAME: &'static str = "deadpool with time-outs";
    type Held<'a> = deadpool::managed::Object<Nothing>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.get().await.expect("granted")
    }
}

struct DeadpoolPlain(Deadpool);

impl Contender for DeadpoolPlain {
    const NAME: &'static str = "deadpool";
    type Held<'a> = deadpool::managed::Object<Nothing>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.get().await.expect("granted")
    }
}

struct Floor {
    permits: Semaphore,
    idle: Mutex<Vec<u64>>,
}

struct FloorHeld<'a> {
    floor: &'a Floor,
    connection: u64,
    _permit: SemaphorePermit<'a>,
}

impl Drop for FloorHeld<'_> {
    fn drop(&mut self) {
        self.floor.idle.lock().expect("not poisoned").push(self.connection);
    }
}

impl Contender for Floor {
    const NAME: &'static str = "floor";
    type Held<'a> = FloorHeld<'a>;

    async fn claim(&self) -> FloorHeld<'_> {
        let permit = self.permits.acquire().await.expect("open");
        let connection = self.idle.lock().expect("not poisoned").pop().expect("a permit is a connection");
        FloorHeld { floor: self, connection, _permit: permit }
    }
}

/// One contender's figures, a round each.
struct Figures {
    name: &'static str,
    /// Nanoseconds for a claim and its release.
    alone: Vec<f64>,
    /// Cycles a second of all tasks together.
    crowd: Vec<f64>,
    /// The least busy task's cycles over the mean.
    fairness: Vec<f64>,
    /// Heap allocations per cycle, alone and among waiting tasks.
    allocations: (f64, f64),
}

type Round = Box<dyn FnMut(&mut Figures)>;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, cycles, span) = if quick {
        (5, 20_000, Duration::from_millis(100))
    } else {
        (21, 100_000, Duration::from_millis(300))
    };
    let single = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let multi = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (single, multi) = (Arc::new(single), Arc::new(multi));
    let mut contenders: Vec<(Figures, Round)> = vec![
        contender(&single, &multi, cycles, span, async || Qorb(nothing::pool().await)),
        contender(&single, &multi, cycles, span, async || Bb8(bb8_pool().await)),
        contender(&single, &multi, cycles, span, async || DeadpoolTimed(deadpool_pool(true))),
        contender(&single, &multi, cycles, span, async || DeadpoolPlain(deadpool_pool(false))),
        contender(&single, &multi, cycles, span, async || Floor {
            permits: Semaphore::new(SLOTS),
            idle: Mutex::new(vec![7; SLOTS]),
        }),
    ];
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--only") {
        contenders.retain(|(figures, _)| arguments.get(at + 1).is_some_and(|name| name == figures.name));
    }
    for _ in 0..rounds {
        for (figures, round) in &mut contenders {
            round(figures);
        }
    }
    print(contenders.into_iter().map(|(figures, _)| figures).collect());
}

fn contender<C: Contender>(
    single: &Arc<Runtime>,
    multi: &Arc<Runtime>,
    cycles: u32,
    span: Duration,
    make: impl AsyncFn() -> C,
) -> (Figures, Round) {
    let (single, multi) = (Arc::clone(single), Arc::clone(multi));
    let quiet = Arc::new(single.block_on(make()));
    let busy = Arc::new(multi.block_on(make()));
    let mut figures =
        Figures { name: C::NAME, alone: vec![], crowd: vec![], fairness: vec![], allocations: (0.0, 0.0) };
    // Once for warming up, once for counting.
    single.block_on(alone(&quiet, 1000));
    let counted = allocation_counter::measure(|| single.block_on(alone(&quiet, 1000)));
    single.block_on(in_turns(&*quiet, 1000));
    let waiting = allocation_counter::measure(|| single.block_on(in_turns(&*quiet, 1000)));
    figures.allocations = (counted.count_total as f64 / 1000.0, waiting.count_total as f64 / 1000.0);
    let round = Box::new(move |figures: &mut Figures| {
        let began = Instant::now();
        single.block_on(alone(&quiet, cycles));
        figures.alone.push(began.elapsed().as_nanos() as f64 / f64::from(cycles));
        let counts = multi.block_on(crowd(&busy, span));
        let total: u64 = counts.iter().sum();
        let least = counts.iter().min().copied().unwrap_or(0);
        figures.crowd.push(total as f64 / span.as_secs_f64());
        figures.fairness.push(least as f64 * counts.len() as f64 / total as f64);
    });
    (figures, round)
}

/// One task, as a server has them.
async fn alone<C: Contender>(pool: &Arc<C>, cycles: u32) {
    let pool = Arc::clone(pool);
    let task = tokio::spawn(async move {
        for _ in 0..cycles {
            std::hint::black_box(&pool.claim().await);
        }
    });
    task.await.expect("no task panics");
}

/// Every claim but the first sixteen waits until an earlier one's connection returns, all in one task.
async fn in_turns<C: Contender>(pool: &C, cycles: u32) {
    let mut held = std::collections::VecDeque::with_capacity(SLOTS);
    for _ in 0..SLOTS {
        held.push_back(pool.claim().await);
    }
    for _ in 0..cycles {
        let mut claim = std::pin::pin!(pool.claim());
        let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(claim.as_mut().poll(cx).is_pending()));
        assert!(pending.await, "every connection is out");
        drop(held.pop_front());
        held.push_back(claim.await);
    }
}

/// Many tasks on few connections, each held across one yield.
async fn crowd<C: Contender>(pool: &Arc<C>, span: Duration) -> Vec<u64> {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (pool, stop) = (Arc::clone(pool), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut cycles = 0;
                while !stop.load(Ordering::Relaxed) {
                    let held = pool.claim().await;
                    tokio::task::yield_now().await;
                    drop(held);
                    cycles += 1;
                }
                cycles
            })
        })
        .collect();
    tokio::time::sleep(span).await;
    stop.store(true, Ordering::Relaxed);
    let mut counts = Vec::with_capacity(TASKS);
    for task in tasks {
        counts.push(task.await.expect("no task panics"));
    }
    counts
}

async fn bb8_pool() -> bb8::Pool<Nothing> {
    let size = SLOTS as u32;
    bb8::Pool::builder().max_size(size).min_idle(Some(size)).build(Nothing).await.expect("connected")
}

fn deadpool_pool(timed: bool) -> Deadpool {
    let builder = Deadpool::builder(Nothing).max_size(SLOTS);
    let builder = if timed {
        let patience = Some(Duration::from_secs(30));
        builder
            .wait_timeout(patience)
            .create_timeout(patience)
            .recycle_timeout(patience)
            .runtime(deadpool::Runtime::Tokio1)
    } else {
        builder
    };
    builder.build().expect("a pool")
}

fn median(figures: &mut [f64]) -> (f64, f64) {
    figures.sort_by(f64::total_cmp);
    (figures[figures.len() / 2], figures[0])
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn print(contenders: Vec<Figures>) {
    println!("| | claim + drop, ns (least) | {TASKS} tasks, cycles/s | min/mean | allocations |");
    println!("| --- | --- | --- | --- | --- |");
    for mut figures in contenders {
        let (alone, least) = median(&mut figures.alone);
        let (crowd, _) = median(&mut figures.crowd);
        let (fairness, _) = median(&mut figures.fairness);
        let (quiet, waiting) = figures.allocations;
        println!(
            "| {} | {alone:.0} ({least:.0}) | {:.2} M | {fairness:.2} | {quiet:.2} / {waiting:.2} |",
            figures.name,
            crowd / 1e6
        );
    }
}
