//! Claimers that come, go and change their minds while they are at work.

use std::time::Duration;

use qorb_driver::{FixedResolver, Policy, Pool, Runtime};
use qorb_examples::{Doing, EchoServer, Load, OnSmol, OnTokio, Platform, Work};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const FOR_EVER: Duration = Duration::from_secs(3_600);

#[test]
fn claimers_come_and_go_on_tokio() {
    OnTokio::run(come_and_go::<OnTokio>()).expect("a runtime starts");
}

#[test]
fn claimers_come_and_go_on_smol() {
    OnSmol::run(come_and_go::<OnSmol>()).expect("a runtime starts");
}

/// Waits until it is so.
async fn until<P: Platform>(runtime: &P::Runtime, what: &str, is_it: impl Fn() -> bool) {
    let begin = runtime.now();
    while !is_it() {
        assert!(runtime.now().since(begin) < PATIENCE, "it never happens that {what}");
        P::pause(runtime, Duration::from_millis(5)).await;
    }
}

async fn come_and_go<P: Platform>() {
    let runtime = P::Runtime::current().expect("it runs in it");
    let server = EchoServer::start(([127, 0, 0, 1], 0).into()).expect("there is a port");
    let policy = Policy { max_slots: 1, ..Policy::default() };
    let pool = Pool::new("load", FixedResolver::new([server.address()]), P::Tcp::default(), policy);
    let pool = pool.expect("it is a policy");
    let load = Load::start(&runtime, &pool, Work { claimers: 1, hold: FOR_EVER });
    let doing = || load.claimers().iter().map(|seen| seen.doing).collect::<Vec<_>>();
    until::<P>(&runtime, "one holds", || doing() == [Doing::Holding]).await;
    load.add(&runtime, &pool, FOR_EVER);
    until::<P>(&runtime, "another waits", || pool.stats().waiting == 1).await;
    assert_eq!(doing(), [Doing::Holding, Doing::Waiting]);

    load.remove();
    until::<P>(&runtime, "it gives up its claim", || {
        let stats = pool.stats();
        stats.cancelled == 1 && stats.waiting == 0
    })
    .await;
    load.remove();
    load.remove();
    assert!(doing().is_empty());
    until::<P>(&runtime, "the first gives its connection back", || {
        pool.stats().backends[0].claimed_slots == 0
    })
    .await;

    load.add(&runtime, &pool, Duration::ZERO);
    until::<P>(&runtime, "a new one is served", || load.claimers()[0].successes > 1).await;
    load.set_hold(0, FOR_EVER);
    load.set_hold(1, FOR_EVER);
    until::<P>(&runtime, "it holds for long", || doing() == [Doing::Holding]).await;
    assert_eq!(load.claimers()[0].hold, FOR_EVER);

    let tally = load.finish(&runtime, &pool).await;
    assert_eq!((tally.claims_failed, tally.cut_off.len()), (0, 0), "{tally:?}");
    pool.terminate().await;
}
