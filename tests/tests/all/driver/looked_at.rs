//! What those see who look at a resolver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use qorb_driver::{DnsResolver, DnsResolverConfig, Policy, Pool, ServerStats};
use qorb_tests::sim::World;
use qorb_tests::sim::net::Reply;
use qorb_tests::sim::script::{Script, SimPool};

use super::dns::{SERVICE, address, answer, end, late};

/// A second server, which nobody runs.
const NOBODY: &str = "[::2]:53";

/// Whether the server answers from now on.
type Switch = Arc<AtomicBool>;

/// A pool over a server that can be switched off, and one that is not there.
fn watched(world: &World) -> (Script, SimPool, Switch) {
    let script = Script::new(world.sim());
    let on = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&on);
    world.serve_udp(
        address(),
        Box::new(move |question| {
            let reply = Reply::Bytes(late(1), answer(question, 2));
            if on.load(Ordering::Relaxed) { vec![reply] } else { Vec::new() }
        }),
    );
    let servers: [SocketAddr; 2] = [address(), NOBODY.parse().expect("an address")];
    let resolver = DnsResolver::new(SERVICE, servers, DnsResolverConfig::default()).expect("it is sound");
    let pool = Pool::new("seen", resolver, script.clone(), Policy::default()).expect("it works");
    (script, pool, switch)
}

fn server(pool: &SimPool, number: usize) -> ServerStats {
    pool.stats().resolver.expect("it is DNS").servers[number].clone()
}

#[test]
fn the_stats_of_a_pool_show_what_its_resolver_is_doing() {
    let world = World::new(11);
    let (script, pool, on) = watched(&world);
    assert_eq!(pool.stats().resolver, None, "it has not begun");
    world.pass(Duration::from_millis(100));
    let stats = pool.stats().resolver.expect("it is DNS");
    assert_eq!((stats.service.as_str(), stats.rounds, stats.next_round_in), (SERVICE, 1, None));
    assert_eq!(stats.backends, 2);
    let age = stats.set_age.expect("a set was published");
    assert!(Duration::from_millis(90) < age && age < Duration::from_millis(100), "{age:?}");
    assert_eq!(server(&pool, 0).last_outcome.as_deref(), Some("backends"));
    assert!(server(&pool, 0).fresh_for.is_some_and(|left| left > Duration::from_secs(1)));
    assert_eq!(server(&pool, 1).last_outcome, None, "it may still answer");

    world.pass(Duration::from_secs(10));
    let stats = pool.stats().resolver.expect("it is DNS");
    let next = stats.next_round_in.expect("the round is over");
    assert_eq!((server(&pool, 0).failures, server(&pool, 1).failures), (0, 1));
    let outcome = server(&pool, 1).last_outcome.expect("it has failed");
    assert!(outcome.starts_with("failed: "), "{outcome}");
    world.pass(Duration::from_secs(1));
    let later = pool.stats().resolver.expect("it is DNS");
    assert_eq!(later.next_round_in, Some(next - Duration::from_secs(1)), "it counts down between events");
    assert_eq!(later.set_age, stats.set_age.map(|age| age + Duration::from_secs(1)));

    on.store(false, Ordering::Relaxed);
    world.pass(Duration::from_secs(200));
    let stats = pool.stats().resolver.expect("it is DNS");
    assert!(stats.stale_for.is_some_and(|stale| stale > Duration::from_secs(60)), "{stats:?}");
    assert_eq!((stats.backends, server(&pool, 0).fresh_for), (2, Some(Duration::ZERO)), "kept, expired");
    end(world, &script, pool);
}
