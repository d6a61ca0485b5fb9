//! Many tasks on few connections: throughput, fairness, and how long the unluckiest wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::contenders::{Contender, Each, everybody, nobody};
use super::report::{Column, Goal, Lane, Table};
use super::{Effort, SLOTS, multi, single};

const COLUMNS: [Column; 3] = [
    Column { name: "M cycles/s", digits: 2 },
    Column { name: "min/mean", digits: 2 },
    Column { name: "p99.9 wait, µs", digits: 0 },
];

/// Every task claims, yields once with what it has, and lets go, for so long. How often each of them did.
async fn crowd<T: Contender>(pool: &Arc<T>, tasks: usize, span: Duration) -> Vec<u64> {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks = (0..tasks).map(|_| {
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
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::time::sleep(span).await;
    stop.store(true, Ordering::Relaxed);
    let mut counts = Vec::with_capacity(tasks.len());
    for task in tasks {
        counts.push(task.await.expect("no task panics"));
    }
    counts
}

/// The same with a clock in every task, which costs what it measures: on its own, for the waits alone.
async fn waits<T: Contender>(pool: &Arc<T>, tasks: usize, span: Duration) -> Duration {
    let end = Instant::now() + span;
    let tasks = (0..tasks).map(|_| {
        let pool = Arc::clone(pool);
        tokio::spawn(async move {
            let mut waits = Vec::new();
            loop {
                let asked = Instant::now();
                if asked >= end {
                    return waits;
                }
                let held = pool.claim().await;
                waits.push(asked.elapsed());
                tokio::task::yield_now().await;
                drop(held);
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("no task panics"));
    }
    let rank = waits.len() * 999 / 1000;
    *waits.select_nth_unstable(rank).1
}

struct Crowd<'a> {
    runtime: &'a Arc<Runtime>,
    tasks: usize,
    span: Duration,
}

impl Each<u64> for Crowd<'_> {
    type Made = Lane;

    fn each<T: Contender<Connection = u64>>(&mut self, name: &'static str, contender: T) -> Lane {
        let (runtime, tasks, span) = (Arc::clone(self.runtime), self.tasks, self.span);
        let contender = Arc::new(contender);
        Lane::new(name, move || {
            let counts = runtime.block_on(crowd(&contender, tasks, span));
            let total: u64 = counts.iter().sum();
            let least = counts.iter().min().copied().unwrap_or(0);
            let wait = runtime.block_on(waits(&contender, tasks, span));
            vec![
                total as f64 / span.as_secs_f64() / 1e6,
                least as f64 * tasks as f64 / total as f64,
                wait.as_nanos() as f64 / 1e3,
            ]
        })
    }
}

fn goals(table: &Table, floor: f64) -> Vec<Goal> {
    let ours = "qorb, tokio";
    let peers = ["deadpool 0.13", "deadpool 0.13, time-outs", "bb8 0.9", "fast_pool 1.0", "mobc 0.9"];
    let best = peers.iter().map(|peer| table.at(peer, 0)).fold(0.0, f64::max);
    let rate = table.at(ours, 0);
    vec![
        Goal::at_least(floor, "cycles/s / semaphore + mutex", rate / table.at("semaphore + mutex", 0)),
        Goal::at_least(1.0, "cycles/s / the best of the others", rate / best),
        Goal::at_least(0.95, "min/mean", table.at(ours, 1)),
        Goal::at_most(1.0, "p99.9 wait / deadpool 0.13", table.at(ours, 2) / table.at("deadpool 0.13", 2)),
    ]
}

/// So many tasks on 16 connections, on two threads.
pub(crate) fn wide(effort: Effort, name: &'static str, tasks: usize) -> Table {
    let runtime = multi();
    let span = Duration::from_millis(effort.pick(50, 250).into());
    let lanes = everybody(&runtime, &nobody(), SLOTS, &mut Crowd { runtime: &runtime, tasks, span });
    let about = format!(
        "{tasks} tasks on {SLOTS} connections, two threads; each holds its connection across one yield."
    );
    let table = Table::measure(name, about, &COLUMNS, effort.pick(3, 9) as usize, lanes);
    table.goals(|table| goals(table, 0.9))
}

/// 64 tasks on 16 connections, on one thread.
pub(crate) fn on_one_thread(effort: Effort) -> Table {
    let runtime = single();
    let span = Duration::from_millis(effort.pick(50, 250).into());
    let mut each = Crowd { runtime: &runtime, tasks: 64, span };
    let lanes = everybody(&runtime, &nobody(), SLOTS, &mut each);
    let about =
        format!("64 tasks on {SLOTS} connections, one thread; each holds its connection across one yield.");
    Table::measure("one thread", about, &COLUMNS, effort.pick(3, 9) as usize, lanes).goals(|table| {
        let ratio = table.at("qorb, tokio", 0) / table.at("deadpool 0.13", 0);
        // 4 M/s where deadpool has 2.5 M/s.
        vec![
            Goal::at_least(1.6, "cycles/s / deadpool 0.13", ratio),
            Goal::at_least(0.95, "min/mean", table.at("qorb, tokio", 1)),
        ]
    })
}
