//! Ends: of a pool, of a handle outside its runtime, of the runtime itself.

use std::time::Duration;

use qorb_driver::{Denial, DnsResolver, DnsResolverConfig, Policy, Pool};
use qorb_examples::{DnsServer, Exchange, Platform};

use super::{ANY, HandleOn, claimed, echo_server, on_both_runtimes, pool_of, run, unclaimed, until, within};

on_both_runtimes! {
    s15_a_pool_that_is_dropped_closes_its_spares,
    s28_terminate_is_at_once_beside_a_silent_dns_server,
    a_handle_may_be_dropped_on_any_thread,
    a_handle_may_outlive_its_runtime,
    a_pool_may_be_drained_after_the_end_of_its_runtime,
}

fn s15_a_pool_that_is_dropped_closes_its_spares<P: Platform>() {
    run::<P, _>(async {
        let server = echo_server();
        let pool = pool_of::<P>(&[&server], |policy| policy.spares_wanted = 4);
        until::<P>("four spares are open", || server.open() == 4 && unclaimed::<P>(&pool) == 4).await;
        drop(pool);
        until::<P>("they are closed", || server.open() == 0).await;
    });
}

fn s28_terminate_is_at_once_beside_a_silent_dns_server<P: Platform>() {
    run::<P, _>(async {
        let service = "_echo._tcp.test.com.";
        let server = DnsServer::start(ANY, service, []).expect("there is a free port");
        server.set_silent(true);
        let resolver = DnsResolver::new(service, [server.address()], DnsResolverConfig::default());
        let resolver = resolver.expect("it is a name");
        let pool = Pool::new("silent", resolver, P::Tcp::default(), Policy::default());
        let pool: super::PoolOn<P> = pool.expect("a policy that works, in a runtime");
        until::<P>("the server was asked", || server.asked().0 > 0).await;

        let ending = async {
            until::<P>("the claim waits", || pool.stats().waiting == 1).await;
            within::<P, _>("terminate", Duration::from_secs(1), pool.terminate()).await;
        };
        let (claim, ()) = smol::future::zip(pool.claim(), ending).await;
        assert_eq!(claim.expect_err("there was no backend").kind, Denial::Terminated);
    });
}

fn a_handle_may_be_dropped_on_any_thread<P: Platform>() {
    run::<P, _>(async {
        let server = echo_server();
        let pool = pool_of::<P>(&[&server], |_| {});
        let mut handles = Vec::new();
        for _ in 0..4 {
            handles.push(pool.claim().await.expect("there is a server"));
        }
        assert_eq!(claimed::<P>(&pool), 4);
        // One of each kind of end, on a thread that knows of no runtime.
        std::thread::spawn(move || {
            let [broken, detached, ..] = &mut handles[..] else { panic!("there are four") };
            assert!(broken.slot_id() != detached.slot_id());
            handles.remove(0).discard();
            drop(handles.remove(0).detach());
            drop(handles);
        })
        .join()
        .expect("nothing of it panics");
        assert_eq!(claimed::<P>(&pool), 0);
        let mut handle = pool.claim().await.expect("there is a server");
        handle.exchange(b"hello").await.expect("the server echoes");
    });
}

fn a_handle_may_outlive_its_runtime<P: Platform>() {
    let server = echo_server();
    let handle: HandleOn<P> = run::<P, _>(async {
        let pool = pool_of::<P>(&[&server], |_| {});
        pool.claim().await.expect("there is a server")
    });
    assert_eq!(handle.backend().address, server.address());
    drop(handle);
}

fn a_pool_may_be_drained_after_the_end_of_its_runtime<P: Platform>() {
    let server = echo_server();
    let (pool, handle) = run::<P, _>(async {
        let pool = pool_of::<P>(&[&server], |_| {});
        let handle = pool.claim().await.expect("there is a server");
        (pool, handle)
    });
    let left = smol::block_on(pool.drain(Duration::from_millis(100)));
    assert_eq!(left.len(), 1, "{left:?}");
    drop(handle);
    assert!(smol::block_on(pool.drain(Duration::MAX)).is_empty());
}
