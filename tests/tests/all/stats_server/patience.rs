//! How long the server waits for whom, in virtual time.

use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use qorb_driver::{Policy, Pool, StatsServer};
use qorb_tests::sim::announce::Announcer;
use qorb_tests::sim::script::{Script, SimPool};
use qorb_tests::sim::wire::Wire;
use qorb_tests::sim::{Sim, World};
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{UPGRADE, in_set, open_on, request, say};
use crate::adapters::ANY;

/// A pool with two backends, and a server that shows it.
struct Rig {
    world: World,
    pool: SimPool,
    sets: Announcer,
    server: StatsServer<Sim>,
}

impl Rig {
    fn new() -> Self {
        let world = World::new(5);
        let sets = Announcer::new();
        let script = Script::new(world.sim());
        let pool = Pool::new("watched", sets.resolver(), script, Policy::default()).expect("it works");
        sets.publish(&["a", "b"]);
        let server = world.run_until(StatsServer::bind(ANY)).expect("nobody else listens");
        server.add(&pool);
        world.settle();
        Self { world, pool, sets, server }
    }

    fn call(&self, room: usize) -> Wire {
        self.world.sim().door(ANY).call(room)
    }

    fn millis(&self) -> u128 {
        self.world.elapsed().as_millis()
    }

    fn end(self) {
        let Self { world, pool, sets, server } = self;
        drop(pool);
        drop(server);
        world.settle();
        world.pass(Duration::from_secs(2));
        assert!(!sets.is_heard());
        world.finish();
    }
}

/// A request for a websocket, for a client that speaks in bytes.
fn upgrade() -> String {
    request("/qtop/stats?update_secs=255", &[&["Host: localhost"][..], &UPGRADE].concat())
}

/// More than a frame of two backends.
const PLENTY: usize = 1 << 20;

#[test]
fn a_head_that_never_ends_is_given_up_after_five_seconds() {
    let rig = Rig::new();
    for words in ["", "GET / HTTP/1.1\r\nHost: localhost\r\n"] {
        let begin = rig.millis();
        let said = rig.world.run_until(say(rig.call(PLENTY), words.as_bytes()));
        assert_eq!((said.status, rig.millis() - begin), (408, 5000));
    }
    // One byte a second does not help.
    let mut wire = rig.call(PLENTY);
    let begin = rig.millis();
    let dripping = async {
        let words = request("/", &["Host: localhost"]);
        for byte in words.bytes() {
            if wire.write_all(&[byte]).await.is_err() || wire.is_over() {
                return;
            }
            rig.world.sim().sleep(Duration::from_secs(1)).await;
        }
        panic!("it was let to say all of it");
    };
    rig.world.run_until(dripping);
    assert!(rig.millis() - begin <= 7000, "{}", rig.millis() - begin);
    rig.end();
}

#[test]
fn frames_come_at_even_intervals() {
    let rig = Rig::new();
    let begin = rig.millis();
    let times = rig.world.run_until(async {
        let mut socket = open_on(rig.call(PLENTY), "/qtop/stats?update_secs=7").await;
        let mut times = Vec::new();
        for _ in 0..4 {
            let frame = socket.frame().await;
            assert_eq!(in_set(&frame).len(), 2);
            times.push(rig.millis() - begin);
        }
        times
    });
    assert_eq!(times, [0, 7000, 14_000, 21_000]);
    rig.end();
}

#[test]
fn another_set_is_shown_at_once_but_not_each_of_many() {
    let rig = Rig::new();
    rig.world.run_until(async {
        let mut socket = open_on(rig.call(PLENTY), "/qtop/stats?update_secs=255").await;
        socket.frame().await;
        let begin = rig.millis();
        rig.sets.publish(&["a", "b", "c"]);
        assert_eq!((in_set(&socket.frame().await).len(), rig.millis() - begin), (3, 0));
        // They change a thousand times in a second.
        for _ in 0..500 {
            for set in [&["a"][..], &["a", "b"]] {
                rig.sets.publish(set);
                rig.world.sim().sleep(Duration::from_millis(1)).await;
            }
        }
        rig.sets.publish(&["a", "b", "c", "d"]);
        let mut frames = 1;
        while in_set(&socket.frame().await).len() < 4 {
            frames += 1;
        }
        assert!((10..=22).contains(&frames), "{frames} frames");
    });
    rig.end();
}

#[test]
fn a_client_that_never_reads_is_dropped_after_five_seconds() {
    let rig = Rig::new();
    let mut wire = rig.call(1000);
    rig.world.run_until(wire.write_all(upgrade().as_bytes())).expect("it listens");
    rig.world.pass(Duration::from_millis(4900));
    let told = |wire: &mut Wire| rig.world.run_until(wire.write_all(b"?"));
    told(&mut wire).expect("it is still there");
    rig.world.pass(Duration::from_millis(200));
    told(&mut wire).expect_err("it has hung up");
    rig.end();
}

#[test]
fn a_client_that_falls_silent_is_asked_and_then_forgotten() {
    let rig = Rig::new();
    let begin = rig.millis();
    rig.world.run_until(async {
        // One that reads answers by reading, and stays.
        let mut socket = open_on(rig.call(PLENTY), "/qtop/stats?update_secs=255").await;
        socket.frame().await;
        for second in [10, 20, 30, 40] {
            assert!(matches!(socket.message().await, Message::Ping(_)));
            assert_eq!(rig.millis() - begin, second * 1000);
        }
    });
    // Another reads everything and says nothing.
    let begin = rig.millis();
    let socket = rig.world.run_until(open_on(rig.call(PLENTY), "/qtop/stats?update_secs=255"));
    let mut heard = Vec::new();
    rig.world.run_until(socket.0.into_inner().read_to_end(&mut heard)).expect("it hangs up");
    assert_eq!(rig.millis() - begin, 30_000);
    rig.end();
}

#[test]
fn a_client_that_talks_too_much_is_sent_away() {
    let rig = Rig::new();
    rig.world.run_until(async {
        let mut socket = open_on(rig.call(PLENTY), "/qtop/stats").await;
        socket.frame().await;
        for _ in 0..200 {
            if socket.0.send(Message::Text("and another thing".into())).await.is_err() {
                break;
            }
        }
        assert_eq!(socket.last_word().await.code, CloseCode::Policy);
    });
    rig.end();
}

#[test]
fn a_client_that_says_little_but_often_stays() {
    let rig = Rig::new();
    rig.world.run_until(async {
        let mut socket = open_on(rig.call(PLENTY), "/qtop/stats?update_secs=255").await;
        socket.frame().await;
        for _ in 0..250 {
            socket.0.send(Message::Ping("".into())).await.expect("it listens");
            rig.world.sim().sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(in_set(&socket.frame().await).len(), 2);
    });
    rig.end();
}

#[test]
fn a_message_that_never_ends_is_ended() {
    let rig = Rig::new();
    let mut wire = rig.call(PLENTY);
    // Its first frame, and then more and more of it, none of which holds anything.
    let mut words = upgrade().into_bytes();
    words.extend([0x02, 0x80, 0, 0, 0, 0]);
    words.extend([0x00, 0x80, 0, 0, 0, 0].repeat(30_000));
    let begin = rig.millis();
    let mut heard = Vec::new();
    rig.world.run_until(async {
        wire.write_all(&words).await.expect("it listens");
        wire.read_to_end(&mut heard).await.expect("it hangs up");
    });
    assert!(heard.ends_with(b"you talk too much"), "{:?}", String::from_utf8_lossy(&heard));
    assert!(rig.millis() - begin < 1000, "{}", rig.millis() - begin);
    rig.end();
}

#[test]
fn clients_of_the_same_moment_share_a_snapshot_and_see_their_own_claims() {
    let rig = Rig::new();
    rig.world.run_until(async {
        let mut first = open_on(rig.call(PLENTY), "/qtop/stats").await;
        let mut second = open_on(rig.call(PLENTY), "/qtop/stats?update_secs=2").await;
        let (one, other) = (first.frame().await, second.frame().await);
        assert_eq!(one, other);
        drop(rig.pool.claim().await.expect("there is a connection"));
        assert_eq!(first.frame().await["claims"], 1);
        drop(rig.pool.claim().await.expect("there is a connection"));
        assert_eq!(first.frame().await["claims"], 1);
        assert_eq!(second.frame().await["claims"], 2);
    });
    rig.end();
}

#[test]
fn a_client_that_was_slow_sees_the_latest_frame_and_none_of_those_it_missed() {
    let rig = Rig::new();
    rig.world.run_until(async {
        let mut socket = open_on(rig.call(400), "/qtop/stats").await;
        // The first frame does not fit; while the client rests, nothing else is written.
        rig.world.sim().sleep(Duration::from_millis(4500)).await;
        rig.sets.publish(&["a", "b", "c"]);
        assert_eq!(in_set(&socket.frame().await).len(), 2);
        assert_eq!(in_set(&socket.frame().await).len(), 3);
        let before = rig.millis();
        socket.frame().await;
        assert!(rig.millis() - before > 500, "an old frame was kept for it");
    });
    rig.end();
}
