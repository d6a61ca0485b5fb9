//! Connections: claimed, used, returned, and found broken.

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;

use qorb_driver::{Backend, Connector, FixedResolver, Policy, Pool};
use qorb_examples::{Exchange, Platform};
use socket2::SockRef;

use super::{ANY, PoolOn, echo_server, is_online, on_both_runtimes, pool_of, revive, run, unclaimed, until};

on_both_runtimes! {
    a_claim_is_served_and_its_connection_used_again,
    an_answer_left_unread_goes_to_nobody_else,
    an_answer_that_comes_late_goes_to_nobody_else,
    a_peer_that_closed_is_noticed_when_the_handle_is_dropped,
    a_peer_that_closed_is_noticed_while_the_connection_is_idle,
    a_look_tells_good_connections_from_bad_ones,
}

fn a_claim_is_served_and_its_connection_used_again<P: Platform>() {
    run::<P, _>(async {
        let server = echo_server();
        let pool = pool_of::<P>(&[&server], |_| {});
        let mut first = pool.claim().await.expect("there is a server");
        assert_eq!(first.backend().address, server.address());
        first.exchange(b"hello").await.expect("the server echoes");
        let slot = first.slot_id();
        drop(first);

        let mut second = pool.try_claim().await.expect("what was returned is ready at once");
        assert_eq!(second.slot_id(), slot, "the connection used last is used first");
        second.exchange(b"hello again").await.expect("the server echoes");
        drop(second);
        until::<P>("the spares are there", || unclaimed::<P>(&pool) >= 8).await;
        assert!(server.accepted() <= 9, "{} connections for 8 spares and a claim", server.accepted());
    });
}

fn an_answer_left_unread_goes_to_nobody_else<P: Platform>() {
    run::<P, _>(async {
        let server = echo_server();
        let pool = pool_of::<P>(&[&server], |_| {});
        let connector = P::Tcp::default();
        let mut handle = pool.claim().await.expect("there is a server");
        let slot = handle.slot_id();
        // The first byte of the answer is read, the second is not.
        handle.exchange_part(b"12", 1).await.expect("the server echoes");
        assert!(connector.is_valid(&mut handle).await.is_err(), "a byte is left");
        drop(handle);

        let mut handle = pool.claim().await.expect("there are others");
        assert_ne!(handle.slot_id(), slot);
        handle.exchange(b"3").await.expect("no answer of another's is in the way");
    });
}

fn an_answer_that_comes_late_goes_to_nobody_else<P: Platform>() {
    run::<P, _>(async {
        let server = TcpListener::bind(ANY).expect("there is a free port");
        let mut policy = Policy { max_slots: 1, spares_wanted: 1, ..Policy::default() };
        // No routine check gets there first.
        policy.set_config.health_interval = Duration::MAX;
        let resolver = FixedResolver::new([server.local_addr().expect("it listens")]);
        let pool: PoolOn<P> = Pool::new("late", resolver, P::Tcp::default(), policy).expect("it works");
        let mut handle = pool.claim().await.expect("there is a server");
        let (mut peer, _) = server.accept().expect("there is a connection");
        // It asks, and does not wait for what it is told.
        handle.exchange_part(b"12", 0).await.expect("it is connected");
        let slot = handle.slot_id();
        drop(handle);
        assert_eq!(unclaimed::<P>(&pool), 1, "it rests, with nothing to read");
        // Loopback delivers in the call that sends.
        peer.write_all(b"12").expect("it is connected");

        let mut handle = pool.claim().await.expect("there is another connection");
        assert_ne!(handle.slot_id(), slot);
        let (mut peer, _) = server.accept().expect("there is another connection");
        peer.write_all(b"3").expect("it is connected");
        handle.exchange_part(b"3", 1).await.expect("no answer of another's is in the way");
    });
}

fn a_peer_that_closed_is_noticed_when_the_handle_is_dropped<P: Platform>() {
    run::<P, _>(async {
        let mut server = echo_server();
        // No routine check gets there first.
        let pool = pool_of::<P>(&[&server], |policy| policy.set_config.health_interval = Duration::MAX);
        let handle = pool.claim().await.expect("there is a server");
        let slot = handle.slot_id();
        until::<P>("the spares are there", || unclaimed::<P>(&pool) == 8).await;
        server.kill();
        assert!(is_online::<P>(&pool), "nobody has looked yet");
        drop(handle);
        until::<P>("all its connections are found broken", || !is_online::<P>(&pool)).await;

        revive::<P, _>(|| server.revive()).await;
        let mut handle = pool.claim().await.expect("the server is back");
        assert_ne!(handle.slot_id(), slot);
        handle.exchange(b"hello").await.expect("the server echoes");
    });
}

fn a_peer_that_closed_is_noticed_while_the_connection_is_idle<P: Platform>() {
    run::<P, _>(async {
        let mut server = echo_server();
        let often = Duration::from_millis(50);
        let pool = pool_of::<P>(&[&server], |policy| policy.set_config.health_interval = often);
        until::<P>("the spares are there", || unclaimed::<P>(&pool) == 8).await;
        server.kill();
        until::<P>("all its connections are found broken", || !is_online::<P>(&pool)).await;
        revive::<P, _>(|| server.revive()).await;
        until::<P>("the spares are there again", || unclaimed::<P>(&pool) == 8).await;
    });
}

fn a_look_tells_good_connections_from_bad_ones<P: Platform>() {
    run::<P, _>(async {
        let listener = TcpListener::bind(ANY).expect("there is a free port");
        let backend = Backend::new("peer", listener.local_addr().expect("it listens"));
        let connector = P::Tcp::default();

        let mut stream = connector.connect(&backend).await.expect("it listens");
        let (mut peer, _) = listener.accept().expect("there is a connection");
        connector.is_valid(&mut stream).await.expect("nothing is wrong");
        peer.write_all(b"!").expect("it is connected");
        // Loopback delivers in the call that sends.
        let error = connector.is_valid(&mut stream).await.expect_err("nobody asked for that");
        assert_eq!(error.kind(), ErrorKind::InvalidData);

        let mut stream = connector.connect(&backend).await.expect("it listens");
        let (peer, _) = listener.accept().expect("there is a connection");
        drop(peer);
        let error = connector.is_valid(&mut stream).await.expect_err("the peer has closed");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);

        drop(listener);
        let error = connector.connect(&backend).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connections_have_the_options_that_were_asked_for() {
    use qorb_examples::{OnSmol, OnTokio};
    let idle = Duration::from_secs(20);
    run::<OnTokio, _>(async {
        use qorb_tokio::TcpConnector;
        check_options(TcpConnector::default(), (true, false)).await;
        check_options(TcpConnector::default().with_nodelay(false).with_keepalive(idle), (false, true)).await;
    });
    run::<OnSmol, _>(async {
        use qorb_smol::TcpConnector;
        check_options(TcpConnector::default(), (true, false)).await;
        check_options(TcpConnector::default().with_nodelay(false).with_keepalive(idle), (false, true)).await;
    });
}

async fn check_options<K: Connector<Connection: AsFd>>(connector: K, expected: (bool, bool)) {
    let server = echo_server();
    let stream = connector.connect(&Backend::new("echo", server.address())).await.expect("it listens");
    let socket = SockRef::from(&stream);
    let nodelay = socket.tcp_nodelay().expect("it is a TCP socket");
    let keepalive = socket.keepalive().expect("it is a TCP socket");
    assert_eq!((nodelay, keepalive), expected);
}
