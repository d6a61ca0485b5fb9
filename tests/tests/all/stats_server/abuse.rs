//! Whom the server refuses, and that the others do not notice.

use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use qorb_driver::Serve;
use qorb_examples::Platform;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{UPGRADE, connect, get, open, request, say, server};
use crate::adapters::{on_both_runtimes, pool_of, run, until};

on_both_runtimes! {
    an_interval_that_is_none_is_refused_with_the_reason,
    strangers_and_their_pages_are_refused,
    a_name_that_was_allowed_is_let_in,
    what_is_no_request_is_refused,
    a_message_that_is_too_long_ends_the_conversation,
    the_thirty_third_client_is_told_to_come_back,
    a_client_that_never_reads_harms_nobody,
}

fn an_interval_that_is_none_is_refused_with_the_reason<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (server, pool) = (server::<P::Runtime>().await, pool_of::<P>(&[], |_| {}));
        server.add(&pool);
        for secs in ["0", "256", "abc", "", "-1", "1.5"] {
            for headers in [&["Host: localhost"][..], &[&UPGRADE[..], &["Host: localhost"]].concat()] {
                let words = request(&format!("/qtop/stats?update_secs={secs}"), headers);
                let said = say(connect(server.local_addr()).await, words.as_bytes()).await;
                assert_eq!(said.status, 400, "{secs}: {said:?}");
                assert!(said.body.contains("from 1 to 255") && said.body.contains(secs), "{said:?}");
            }
        }
    });
}

fn strangers_and_their_pages_are_refused<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (server, pool) = (server::<P::Runtime>().await, pool_of::<P>(&[], |_| {}));
        server.add(&pool);
        let here = format!("Host: {}", server.local_addr());
        let own = format!("Origin: http://{}", server.local_addr());
        let cases = [
            (vec![here.as_str()], 101),
            (vec![here.as_str(), &own], 101),
            (vec![here.as_str(), "Origin: http://evil.example"], 403),
            (vec![here.as_str(), "Origin: null"], 403),
            (vec!["Host: evil.example"], 403),
            (vec!["Host: evil.example", "Origin: http://evil.example"], 403),
            (vec![], 400),
        ];
        for (headers, status) in cases {
            let words = request("/qtop/stats", &[&UPGRADE[..], &headers].concat());
            let mut stream = connect(server.local_addr()).await;
            stream.write_all(words.as_bytes()).await.expect("it listens");
            let mut line = [0; 12];
            stream.read_exact(&mut line).await.expect("it answers");
            assert_eq!(String::from_utf8_lossy(&line), format!("HTTP/1.1 {status}"), "{headers:?}");
        }
    });
}

fn a_name_that_was_allowed_is_let_in<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let server = server::<P::Runtime>().await;
        let words = request("/healthz", &["Host: stats.example"]);
        let said = say(connect(server.local_addr()).await, words.as_bytes()).await;
        assert_eq!(said.status, 403);
        server.allow_host("Stats.Example");
        let said = say(connect(server.local_addr()).await, words.as_bytes()).await;
        assert_eq!(said.status, 200);
    });
}

fn what_is_no_request_is_refused<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let server = server::<P::Runtime>().await;
        let endless = vec![b'a'; 9 * 1024];
        let mut large = request("/", &["Host: localhost"]).into_bytes();
        large.truncate(large.len() - 2);
        large.extend(b"Cookie: ");
        large.extend(&endless);
        let post = request("/", &["Host: localhost"]).replace("GET", "POST").into_bytes();
        let cases = [(large, 431), (endless, 431), (post, 405), (b"\x16\x03\x01\x02\x00\x01".to_vec(), 400)];
        for (words, status) in cases {
            let said = say(connect(server.local_addr()).await, &words).await;
            assert_eq!(said.status, status, "{said:?}");
        }
        assert_eq!(get(server.local_addr(), "/healthz").await.status, 200);
    });
}

fn a_message_that_is_too_long_ends_the_conversation<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (server, pool) = (server::<P::Runtime>().await, pool_of::<P>(&[], |_| {}));
        server.add(&pool);
        let mut socket = open(server.local_addr(), "/qtop/stats").await;
        socket.frame().await;
        socket.0.send(Message::Text("small talk".into())).await.expect("it listens");
        socket.frame().await;
        let _ = socket.0.send(Message::Binary(vec![0; 10_000].into())).await;
        assert_eq!(socket.last_word().await.code, CloseCode::Size);
    });
}

fn the_thirty_third_client_is_told_to_come_back<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (server, pool) = (server::<P::Runtime>().await, pool_of::<P>(&[], |_| {}));
        server.add(&pool);
        let mut sockets = Vec::new();
        for _ in 0..32 {
            let mut socket = open(server.local_addr(), "/qtop/stats").await;
            socket.frame().await;
            sockets.push(socket);
        }
        for _ in 32..40 {
            let said = get(server.local_addr(), "/qtop/stats").await;
            assert_eq!(said.status, 503, "{said:?}");
        }
        for socket in &mut sockets {
            socket.frame().await;
        }
        drop(sockets.pop());
        let address = server.local_addr();
        let mut let_in = false;
        for _ in 0..1000 {
            let_in = get(address, "/healthz").await.status == 200;
            if let_in {
                break;
            }
        }
        assert!(let_in, "a place that is free again is given to the next");
    });
}

fn a_client_that_never_reads_harms_nobody<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (server, pool) = (server::<P::Runtime>().await, pool_of::<P>(&[], |_| {}));
        server.add(&pool);
        let mut deaf = connect(server.local_addr()).await;
        let words = request("/qtop/stats", &[&UPGRADE[..], &["Host: localhost"]].concat());
        deaf.write_all(words.as_bytes()).await.expect("it listens");
        let mut socket = open(server.local_addr(), "/qtop/stats").await;
        for _ in 0..3 {
            socket.frame().await;
        }
        drop(deaf);
        until::<P>("the pool is as it was", || pool.stats().claims == 0).await;
    });
}
