//! Servers that do not answer: what was found stays, and their return is noticed.

use std::time::Duration;

use qorb_driver::{DnsResolver, DnsResolverConfig, Policy, Pool, Runtime as _};
use qorb_examples::Platform;

use crate::program::{self, Mood, Program, Server};
use crate::search::{Search, eager};
use crate::{row, run, with_servers};

with_servers! {
    one_that_refuses: hickory, knot, bind;
    one_that_fails: knot, bind;
    one_that_is_silent: hickory, knot, bind;
    one_that_is_killed: hickory, knot, bind;
    one_of_two_is_silent: hickory, knot, bind;
    a_pool_ends_at_once_before_a_silent_server: hickory, knot, bind;
}

fn one_that_refuses<P: Platform>(program: Program) {
    trouble::<P>(program, "REFUSED", "refused", |server| server.restart(Mood::Refusing));
}

fn one_that_fails<P: Platform>(program: Program) {
    trouble::<P>(program, "SERVFAIL", "failed: rcode 2", |server| server.restart(Mood::Failing));
}

fn one_that_is_silent<P: Platform>(program: Program) {
    trouble::<P>(program, "silence", "failed: time-out", |server| server.freeze());
}

fn one_that_is_killed<P: Platform>(program: Program) {
    trouble::<P>(program, "killed", "failed: unreachable", Server::kill);
}

/// A server gets into trouble, and comes back with news.
fn trouble<P: Platform>(program: Program, case: &str, expected: &str, get_into: impl Fn(&mut Server)) {
    let mut server = program.start(Mood::Fair);
    run::<P, _>(async {
        let mut search = Search::<P>::new(&[server.address()], "_three._tcp", eager());
        search.until(|_, set| set.len() == 3).await;
        get_into(&mut server);
        let took = search
            .until(|stats, _| {
                let server = &stats.servers[0];
                server.failures > 2 && server.last_outcome.as_deref() == Some(expected)
            })
            .await;
        row::<P>(server.name(), &format!("{case}: three rounds of it"), &format!("{expected}, 3 kept"), took);
        assert_eq!(search.set().len(), 3, "{case}: the set is kept");
        assert!(search.stats().stale_for.is_some(), "{case}: nobody confirms it");

        server.learn(&["_three._tcp 60 SRV 0 0 6004 echo003.test.com."]);
        server.restart(Mood::Fair);
        let took = search.until(|stats, set| set.len() == 4 && stats.stale_for.is_none()).await;
        row::<P>(server.name(), &format!("{case}: its return is noticed"), "4 backends", took);
        assert!(!search.sizes.contains(&0), "{case}: never without: {:?}", search.sizes);
    });
}

/// The first backends are known as soon as the other one answers; and when the silent one speaks again, nothing
/// changes, for both say the same.
fn one_of_two_is_silent<P: Platform>(program: Program) {
    let (silent, other) = (program.start(Mood::Fair), program::knot().start(Mood::Fair));
    silent.freeze();
    run::<P, _>(async {
        let servers = [silent.address(), other.address()];
        let config =
            DnsResolverConfig { query_timeout: Duration::from_secs(2), ..DnsResolverConfig::default() };
        let mut search = Search::<P>::new(&servers, "_three._tcp", config);
        let took = search.until(|_, set| set.len() == 3).await;
        row::<P>(silent.name(), "silent beside Knot, which answers", "3 backends", took);
        assert!(took < Duration::from_millis(500), "not after the silent one's time-out: {took:?}");
        silent.thaw();
        search.first_round().await;
        assert!(search.sizes.is_sorted(), "backends only come: {:?}", search.sizes);
    });
}

fn a_pool_ends_at_once_before_a_silent_server<P: Platform>(program: Program) {
    let server = program.start(Mood::Fair);
    server.freeze();
    run::<P, _>(async {
        let resolver =
            DnsResolver::new("_three._tcp.test.com", [server.address()], DnsResolverConfig::default());
        let resolver = resolver.expect("it is a name");
        let pool = Pool::<P::Tcp, P::Runtime>::new("ending", resolver, P::Tcp::default(), Policy::default());
        let pool = pool.expect("it works");
        let runtime = P::Runtime::current().expect("the test runs in it");
        P::pause(&runtime, Duration::from_millis(50)).await;
        let begin = runtime.now();
        pool.terminate().await;
        let took = runtime.now().since(begin);
        row::<P>(server.name(), "silent, and the pool ends", "ended", took);
        assert!(took < Duration::from_millis(500), "{took:?}");
    });
}
