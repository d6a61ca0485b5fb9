//! Websockets: when frames come, what changes in them, and how they end.

use std::net::SocketAddr;
use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use qorb_driver::{Backend, Policy, Pool, Runtime, Serve, from_stream};
use qorb_examples::Platform;
use serde_json::json;
use smol::channel::{Sender, unbounded};
use smol::stream::StreamExt;

use super::client::{in_set, open, server, shown};
use crate::adapters::{PoolOn, echo_server, on_both_runtimes, pool_of, run, runtime, until, within};

on_both_runtimes! {
    a_frame_comes_at_once_and_then_every_so_often,
    a_backend_that_comes_or_goes_is_in_a_frame_at_once,
    a_ping_is_answered_and_so_is_a_close,
    a_pool_that_ends_says_goodbye,
    a_pool_that_is_dropped_says_goodbye_while_a_handle_is_out,
    a_server_that_is_dropped_says_goodbye,
}

/// Sooner than any frame but one that comes at once.
const AT_ONCE: Duration = Duration::from_secs(20);

fn a_frame_comes_at_once_and_then_every_so_often<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (_echo, pool, server) = shown::<P>().await;
        drop(pool.claim().await.expect("there is a server"));
        let runtime = runtime::<P>();
        let begin = runtime.now();
        let mut socket = open(server.local_addr(), "/qtop/stats").await;
        let first = socket.frame().await;
        assert_eq!((&first["claims"], &first["total_claims"]), (&json!(0), &json!(1)));
        for _ in 0..3 {
            drop(pool.claim().await.expect("there is a server"));
        }
        let second = socket.frame().await;
        assert_eq!((&second["claims"], &second["total_claims"]), (&json!(3), &json!(4)));
        assert_eq!(socket.frame().await["claims"], 0);
        let span = runtime.now().since(begin);
        assert!(span >= Duration::from_millis(1900), "three frames in {span:?}");
    });
}

/// A pool whose set of backends the test decides.
fn told<P: Platform>() -> (PoolOn<P>, Sender<Vec<Backend>>) {
    let (sender, sets) = unbounded();
    let pool = Pool::new("told", from_stream(Box::pin(sets)), P::Tcp::default(), Policy::default());
    (pool.expect("a policy that works"), sender)
}

fn set(ports: &[u16]) -> Vec<Backend> {
    let backend = |port: &u16| Backend::new(format!("b{port}"), SocketAddr::from(([127, 0, 0, 1], *port)));
    ports.iter().map(backend).collect()
}

fn a_backend_that_comes_or_goes_is_in_a_frame_at_once<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (pool, sets) = told::<P>();
        let server = server::<P::Runtime>().await;
        server.add(&pool);
        let mut socket = open(server.local_addr(), "/qtop/stats?update_secs=255").await;
        assert_eq!(in_set(&socket.frame().await), Vec::<String>::new());
        for ports in [&[1][..], &[1, 2], &[2], &[]] {
            sets.send(set(ports)).await.expect("the pool listens");
            let names: Vec<_> = ports.iter().map(|port| format!("b{port}@127.0.0.1:{port}")).collect();
            // Between the set's removal of one backend and its addition of another there is no frame.
            let frame = within::<P, _>("a frame", AT_ONCE, socket.frame()).await;
            assert_eq!(in_set(&frame), names);
        }
    });
}

fn a_ping_is_answered_and_so_is_a_close<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (server, pool) = (server::<P::Runtime>().await, pool_of::<P>(&[], |_| {}));
        server.add(&pool);
        let mut socket = open(server.local_addr(), "/qtop/stats?update_secs=255").await;
        socket.frame().await;
        socket.0.send(Message::Ping("are you there".into())).await.expect("it listens");
        let answer = within::<P, _>("a pong", AT_ONCE, socket.message()).await;
        assert_eq!(answer, Message::Pong("are you there".into()));
        socket.0.close(None).await.expect("it listens");
        let answer = within::<P, _>("a close", AT_ONCE, socket.message()).await;
        assert_eq!(answer, Message::Close(None));
        let end = within::<P, _>("the end", AT_ONCE, socket.0.next()).await;
        assert!(end.is_none(), "{end:?}");
    });
}

fn a_pool_that_ends_says_goodbye<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (server, pool) = (server::<P::Runtime>().await, pool_of::<P>(&[], |_| {}));
        server.add(&pool);
        let mut socket = open(server.local_addr(), "/qtop/stats?update_secs=255").await;
        assert_eq!(socket.frame().await["ended"], false);
        pool.terminate().await;
        let last = within::<P, _>("the last frame", AT_ONCE, socket.frame()).await;
        assert_eq!(last["ended"], true);
        let word = within::<P, _>("a close frame", AT_ONCE, socket.last_word()).await;
        assert_eq!((word.code, word.reason.as_str()), (CloseCode::Away, "the pool has ended"));
    });
}

fn a_pool_that_is_dropped_says_goodbye_while_a_handle_is_out<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let echo = echo_server();
        let (server, pool) = (server::<P::Runtime>().await, pool_of::<P>(&[&echo], |_| {}));
        server.add(&pool);
        let handle = pool.claim().await.expect("there is a server");
        let mut socket = open(server.local_addr(), "/qtop/stats?update_secs=255").await;
        socket.frame().await;
        drop(pool);
        let word = within::<P, _>("a close frame", AT_ONCE, socket.last_word()).await;
        assert_eq!(word.code, CloseCode::Away);
        drop(handle);
        until::<P>("the last connection is closed", || echo.open() == 0).await;
    });
}

fn a_server_that_is_dropped_says_goodbye<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (server, pool) = (server::<P::Runtime>().await, pool_of::<P>(&[], |_| {}));
        server.add(&pool);
        let address = server.local_addr();
        let mut sockets = [open(address, "/qtop/stats").await, open(address, "/qtop/stats").await];
        drop(server);
        for socket in &mut sockets {
            let word = within::<P, _>("a close frame", AT_ONCE, socket.last_word()).await;
            assert_eq!((word.code, word.reason.as_str()), (CloseCode::Away, "the server ends"));
        }
        // Nobody listens there any more: the port is free.
        let mut free = false;
        for _ in 0..1000 {
            free = qorb_driver::StatsServer::<P::Runtime>::bind(address).await.is_ok();
            if free {
                break;
            }
        }
        assert!(free, "the port is still taken");
    });
}
