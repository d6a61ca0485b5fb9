//! A server that dies under load and comes back.

#![allow(clippy::print_stdout, reason = "the figures of scenario 44 are worth a look")]

use std::time::Duration;

use qorb_driver::Runtime;
use qorb_examples::{EchoServer, Load, Platform, Work};

use super::{echo_server, on_both_runtimes, pool_of, revive, run, runtime, until};

on_both_runtimes! {
    s44_a_server_that_dies_under_sixteen_claimers_costs_little_and_gets_its_share_when_it_is_back,
}

fn s44_a_server_that_dies_under_sixteen_claimers_costs_little_and_gets_its_share_when_it_is_back<
    P: Platform,
>() {
    run::<P, _>(async {
        let runtime = runtime::<P>();
        let [first, mut victim, third] = [echo_server(), echo_server(), echo_server()];
        let pool = pool_of::<P>(&[&first, &victim, &third], |_| {});
        let work = Work { claimers: 16, hold: Duration::from_millis(1) };
        let load = Load::start(&runtime, &pool, work);
        until::<P>("all three are at work", || load.tally().by_backend.len() == 3).await;
        let claims = load.tally().claims_ok;
        until::<P>("it has settled", || load.tally().claims_ok > claims + 1_000).await;

        let killed = runtime.now();
        victim.kill();
        let dead = runtime.now();
        P::pause(&runtime, Duration::from_secs(2)).await;
        {
            let tally = load.tally();
            let cut_off = tally.cut_off.len();
            let beyond = tally.cut_off.iter().filter(|granted| **granted > dead).count();
            let early = tally.cut_off.iter().filter(|granted| **granted < killed).count();
            println!("{}: {cut_off} cut off, {early} of them in flight, {beyond} granted later", P::NAME);
            assert!(beyond <= 3, "{beyond} failed beyond those in flight: {:?}", tally.latest_error);
        }

        revive::<P, _>(|| victim.revive()).await;
        let back = runtime.now();
        until::<P>("it has its share of the connections", || share_of(&pool, &victim) >= 5).await;
        let share_after = runtime.now().since(back);
        assert!(share_after <= Duration::from_secs(3), "it took {share_after:?}");
        let count = || {
            let tally = load.tally();
            let name = victim.address().to_string();
            (tally.claims_ok, tally.by_backend.get(&name).copied().unwrap_or(0))
        };
        loop {
            let (all, its) = count();
            until::<P>("much was served since", || count().0 >= all + 3_000).await;
            let (all, its) = (count().0 - all, count().1 - its);
            println!("{}: its share after {share_after:?}, then {its} of {all} claims", P::NAME);
            if its * 4 >= all {
                break;
            }
            let since = runtime.now().since(back);
            assert!(since <= Duration::from_secs(3), "{its} of {all} claims, {since:?} after its return");
        }

        let tally = load.finish(&runtime, &pool).await;
        assert_eq!(tally.claims_failed, 0, "{:?}", tally.latest_error);
    });
}

fn share_of<K, R>(pool: &qorb_driver::Pool<K, R>, server: &EchoServer) -> usize
where
    K: qorb_driver::Connector,
    R: Runtime,
{
    let backends =
        pool.stats().backends.into_iter().filter(|stats| stats.backend.address == server.address());
    backends.map(|stats| stats.unclaimed_slots + stats.checking_slots + stats.claimed_slots).sum()
}
