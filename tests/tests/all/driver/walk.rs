//! Random worlds: whatever claimers, connectors and runtimes do, nothing leaks, everybody who is still
//! there is answered, and no limit is broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use qorb_core::dice::Dice;
use qorb_driver::{Claim, Denial, Policy, Pool};
use qorb_tests::sim::announce::Announcer;
use qorb_tests::sim::hand::Hand;
use qorb_tests::sim::script::{Act, Method, Script, SimPool, Then};
use qorb_tests::sim::{Sim, World};

use super::SimHandle;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[test]
fn five_hundred_random_worlds_end_well() {
    for seed in 0..500 {
        walk(seed);
    }
}

fn walk(seed: u64) {
    let mut dice = Dice::Seeded(seed).fork(99);
    let world = World::new(seed);
    let script = Script::new(world.sim());
    let sets = Announcer::new();
    let policy = policy(&mut dice);
    let cap = policy.max_slots;
    let pool: SimPool = Pool::new("walk", sets.resolver(), script.clone(), policy).expect("it works");
    script.watch(&pool);
    sets.publish(&NAMES[..1 + dice.below(4) as usize]);
    let vanishing = dice.below(8) == 0;
    let trouble = dice.below(60);
    let (mut asked, answered) = (0, Arc::new(AtomicUsize::new(0)));
    let mut hands: Vec<Hand<Claim<'_, Script, Sim>>> = Vec::new();
    let mut handles: Vec<SimHandle> = Vec::new();
    for step in 0..120 {
        match dice.below(12) {
            0 | 1 => hands.push(Hand::new(pool.claim_within(span(&mut dice, 3_000)))),
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
                claim_in_task(&world, &pool, &answered, span(&mut dice, 200));
                asked += 1;
            }
            8 => {
                let count = dice.below(5) as usize;
                sets.publish(&NAMES[..count]);
            }
            9 | 10 => direct(&script, &mut dice, trouble),
            _ => world.pass(span(&mut dice, 2_000)),
        }
        if vanishing && step == 90 {
            world.vanish();
        }
        let open = script.most();
        assert!(open <= cap, "seed {seed}, step {step}: {open} connections, {cap} are allowed");
    }
    drop((hands, handles));
    if vanishing {
        let late = world.run_until(pool.claim()).expect_err("the runtime is gone");
        assert_eq!(late.kind, Denial::Terminated, "seed {seed}");
    } else {
        heal(&world, &script, &sets, &pool, seed);
        let answered = answered.load(Ordering::Relaxed);
        assert_eq!(answered, asked, "seed {seed}: claims in tasks are all answered");
    }
    drop(pool);
    world.settle();
    assert_eq!(script.all_live(), 0, "seed {seed}: connections are left");
    assert_eq!(script.complaints(), Vec::<String>::new(), "seed {seed}");
    world.finish();
}

/// Once everything works again, everything works again.
fn heal(world: &World, script: &Script, sets: &Announcer, pool: &SimPool, seed: u64) {
    for name in NAMES {
        for method in [Method::Connect, Method::Check, Method::Acquire, Method::Recycle] {
            script.set(name, method, Act::PASS);
        }
    }
    sets.publish(&NAMES);
    world.pass(Duration::from_secs(120));
    let handle = world.run_until(pool.claim()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    drop(handle);
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.handles.len()), (0, 0), "seed {seed}");
    world.settle();
    let slots: usize = pool.stats().backends.iter().map(|of| of.unclaimed_slots + of.checking_slots).sum();
    assert_eq!(slots, script.all_live(), "seed {seed}: every connection is accounted for");
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
