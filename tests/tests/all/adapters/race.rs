//! Claimers on threads of their own, against the clock, the end and each other.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use qorb_driver::{Backend, Connector, Denial, FixedResolver, Policy, Pool};
use qorb_examples::Platform;

use super::{ANY, on_both_runtimes, run, until, within};

on_both_runtimes! {
    grants_that_are_fetched_and_taken_back_at_once_go_to_one_of_them,
    the_end_comes_in_full_swing,
}

const THREADS: usize = 6;
const SLOTS: usize = 2;

/// Counts the connections that live, and catches two who use the same one.
#[derive(Default)]
struct Counted {
    alive: Arc<AtomicUsize>,
}

struct Connection {
    alive: Arc<AtomicUsize>,
    taken: AtomicBool,
}

impl Connector for Counted {
    type Connection = Connection;
    type Error = Infallible;

    async fn connect(&self, _: &Backend) -> Result<Connection, Infallible> {
        self.alive.fetch_add(1, Ordering::SeqCst);
        Ok(Connection { alive: Arc::clone(&self.alive), taken: AtomicBool::new(false) })
    }
}

impl Connection {
    fn used(&self) {
        assert!(!self.taken.swap(true, Ordering::SeqCst), "two claimers have the same connection");
        std::thread::yield_now();
        self.taken.store(false, Ordering::SeqCst);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

type Racing<P> = Pool<Counted, <P as Platform>::Runtime>;

fn pool<P: Platform>() -> (Racing<P>, Arc<AtomicUsize>) {
    let connector = Counted::default();
    let alive = Arc::clone(&connector.alive);
    let policy = Policy { spares_wanted: SLOTS, max_slots: SLOTS, ..Policy::default() };
    let pool = Pool::new("racing", FixedResolver::new([ANY]), connector, policy);
    (pool.expect("a policy that works, in a runtime"), alive)
}

/// Starts claimers that go on until the pool has ended, and counts what they got.
fn start<P: Platform>(
    pool: &Racing<P>,
    patience: fn(u64) -> Duration,
) -> (Vec<std::thread::JoinHandle<()>>, Arc<AtomicU64>) {
    let served = Arc::new(AtomicU64::new(0));
    let claimers = (0..THREADS).map(|_| {
        let (pool, served) = (pool.clone(), Arc::clone(&served));
        std::thread::spawn(move || {
            for round in 0.. {
                match smol::block_on(pool.claim_within(patience(round))) {
                    Ok(handle) => {
                        handle.used();
                        drop(handle);
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(error) if error.kind == Denial::Terminated => return,
                    Err(error) => assert!(matches!(error.kind, Denial::AllClaimsUsed { .. }), "{error}"),
                }
            }
        })
    });
    (claimers.collect(), served)
}

async fn end<P: Platform>(pool: Racing<P>, alive: &AtomicUsize, claimers: Vec<std::thread::JoinHandle<()>>) {
    within::<P, _>("terminate", Duration::from_secs(5), pool.terminate()).await;
    for claimer in claimers {
        claimer.join().expect("no claimer finds anything wrong");
    }
    assert!(pool.drain(Duration::from_secs(5)).await.is_empty());
    assert_eq!(alive.load(Ordering::SeqCst), 0, "connections are left");
}

fn grants_that_are_fetched_and_taken_back_at_once_go_to_one_of_them<P: Platform>() {
    run::<P, _>(async {
        let (pool, alive) = pool::<P>();
        pool.wait_ready(SLOTS).await.expect("nothing hinders it");
        // So short that many deadlines pass between a grant and its fetch.
        let (claimers, served) = start::<P>(&pool, |round| Duration::from_micros(5 + round % 60));
        until::<P>("enough claims were served", || served.load(Ordering::SeqCst) > 10_000).await;
        let stats = pool.stats();
        assert_eq!(stats.backends[0].claimed_slots + stats.backends[0].unclaimed_slots, SLOTS);
        end::<P>(pool, &alive, claimers).await;
    });
}

fn the_end_comes_in_full_swing<P: Platform>() {
    run::<P, _>(async {
        for _ in 0..20 {
            let (pool, alive) = pool::<P>();
            pool.wait_ready(SLOTS).await.expect("nothing hinders it");
            let (claimers, served) = start::<P>(&pool, |_| Duration::from_secs(30));
            until::<P>("claims are served", || served.load(Ordering::SeqCst) > 50).await;
            end::<P>(pool, &alive, claimers).await;
        }
    });
}
