//! The DNS resolver's sockets: scenario 20 as far as they matter to it, and 28 with a silent server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use qorb_driver::{ConfigError, Denial, DnsResolver, DnsResolverConfig, Policy, Pool};
use qorb_tests::sim::World;
use qorb_tests::sim::net::{Reply, Server};
use qorb_tests::sim::script::{Act, Method, Script, SimPool};

const SERVER: &str = "[::1]:53";
pub(super) const SERVICE: &str = "_echo._tcp.test.com.";

pub(super) fn address() -> SocketAddr {
    SERVER.parse().expect("an address")
}

/// An answer: the service leads to `count` targets, the target number n has the address 10.0.0.n.
pub(super) fn answer(question: &[u8], count: u16) -> Vec<u8> {
    answer_with(question, &vec![(0, 0); usize::from(count)])
}

/// The same with the targets' priorities and weights.
fn answer_with(question: &[u8], targets: &[(u16, u16)]) -> Vec<u8> {
    let asked = Message::from_vec(question).expect("a question");
    let query = asked.queries[0].clone();
    let mut message = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    message.add_query(query.clone());
    let name = |number: u16| Name::from_ascii(format!("n{number}.test.com.")).expect("a name");
    if query.query_type() == RecordType::SRV {
        for (number, (priority, weight)) in (1..).zip(targets) {
            let target = RData::SRV(SRV::new(*priority, *weight, 4000 + number, name(number)));
            message.add_answer(Record::from_rdata(query.name().clone(), 60, target));
        }
    } else if query.query_type() == RecordType::A {
        let mut numbers = (1..).take(targets.len());
        let found = numbers.find(|number| name(*number) == *query.name()).expect("one of ours");
        let host = RData::A(A(Ipv4Addr::new(10, 0, 0, found as u8)));
        message.add_answer(Record::from_rdata(query.name().clone(), 60, host));
    }
    message.to_vec().expect("it can be encoded")
}

fn asks_for_srv(question: &[u8]) -> bool {
    let message = Message::from_vec(question).expect("a question");
    message.queries[0].query_type() == RecordType::SRV
}

/// The same answer, cut: it says so and holds nothing.
fn cut(question: &[u8]) -> Vec<u8> {
    let mut bytes = answer(question, 0);
    bytes[2] |= 0x02;
    bytes
}

pub(super) fn late(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn pool(world: &World, script: &Script) -> SimPool {
    let resolver = DnsResolver::new(SERVICE, [address()], DnsResolverConfig::default()).expect("it is sound");
    let pool = Pool::new("dns", resolver, script.clone(), Policy::default()).expect("it works");
    assert_eq!(world.elapsed(), Duration::ZERO);
    pool
}

pub(super) fn end(world: World, script: &Script, pool: SimPool) {
    drop(pool);
    world.settle();
    // What was sent to sockets that are gone is still on its way.
    world.pass(Duration::from_secs(60));
    assert_eq!(script.all_live(), 0);
    world.finish();
}

#[test]
fn s20_backends_are_found_by_datagram() {
    let world = World::new(3);
    let script = Script::new(world.sim());
    let seen = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&seen);
    let server: Server = Box::new(move |question| {
        counts.fetch_add(1, Ordering::Relaxed);
        vec![Reply::Bytes(late(1), answer(question, 2))]
    });
    world.serve_udp(address(), server);
    let pool = pool(&world, &script);
    let handle = world.run_until(pool.claim()).expect("it is found");
    assert!(["10.0.0.1:4001", "10.0.0.2:4002"].contains(&&*handle.backend().address.to_string()));
    world.pass(Duration::from_secs(1));
    assert_eq!(pool.stats().backends.len(), 2);
    assert_eq!(seen.load(Ordering::Relaxed), 5, "one SRV, two A, two AAAA");
    assert_eq!(world.sockets(), 0, "each is closed when its question is answered");
    world.pass(Duration::from_secs(70));
    assert!(seen.load(Ordering::Relaxed) > 5, "it asks again");
    drop(handle);
    end(world, &script, pool);
}

#[test]
fn s20_an_answer_that_was_cut_is_fetched_by_stream() {
    let world = World::new(4);
    let script = Script::new(world.sim());
    world.serve_udp(
        address(),
        Box::new(|question| {
            let srv = asks_for_srv(question);
            let reply = if srv { cut(question) } else { answer(question, 40) };
            vec![Reply::Bytes(late(1), reply)]
        }),
    );
    // In pieces, as streams are.
    world.serve_tcp(
        address(),
        Box::new(|sent| {
            let length = usize::from(u16::from_be_bytes([sent[0], sent[1]]));
            assert_eq!(sent.len(), length + 2, "one question, in one write");
            let reply = answer(&sent[2..], 40);
            let mut framed = (reply.len() as u16).to_be_bytes().to_vec();
            framed.extend(reply);
            let pieces = framed.chunks(100).enumerate();
            pieces.map(|(index, piece)| Reply::Bytes(late(1 + index as u64), piece.to_vec())).collect()
        }),
    );
    let pool = pool(&world, &script);
    world.pass(Duration::from_secs(2));
    assert_eq!(pool.stats().backends.len(), 40);
    end(world, &script, pool);
}

#[test]
fn s20_answers_that_come_when_nobody_asks_any_more_change_nothing() {
    let world = World::new(5);
    let script = Script::new(world.sim());
    // Every answer is followed, long after, by another that knows more backends.
    world.serve_udp(
        address(),
        Box::new(|question| {
            let replies = [(1, 1), (2, 3), (700, 3), (20_000, 3)];
            let reply = |(delay, count)| Reply::Bytes(late(delay), answer(question, count));
            let srv = asks_for_srv(question);
            if srv { replies.map(reply).to_vec() } else { vec![Reply::Bytes(late(1), answer(question, 3))] }
        }),
    );
    let pool = pool(&world, &script);
    for _ in 0..300 {
        world.pass(Duration::from_secs(1));
        assert!(pool.stats().backends.len() <= 1);
    }
    end(world, &script, pool);
}

#[test]
fn s20_a_server_that_nobody_runs_leaves_the_pool_without_backends() {
    let world = World::new(6);
    let script = Script::new(world.sim());
    let pool = pool(&world, &script);
    let error = world.run_until(pool.claim_within(Duration::from_secs(20))).expect_err("there is no DNS");
    assert_eq!(error.kind, Denial::NoBackends);
    end(world, &script, pool);
}

#[test]
fn s28_terminate_is_at_once_in_front_of_a_silent_server() {
    let world = World::new(8);
    let script = Script::new(world.sim());
    world.serve_udp(address(), Box::new(|_| Vec::new()));
    let pool = pool(&world, &script);
    world.pass(Duration::from_secs(5));
    world.run_until(pool.terminate());
    world.settle();
    assert_eq!((world.elapsed(), world.tasks(), world.timers()), (Duration::from_secs(5), 0, 0));
    end(world, &script, pool);
}

#[test]
fn s28_terminate_is_at_once_in_the_middle_of_any_exchange() {
    // A datagram that was cut arrives after 2 ms, and then a stream in pieces, the last of which never come.
    for millis in 0..16 {
        let world = World::new(8);
        let script = Script::new(world.sim());
        world.serve_udp(address(), Box::new(|question| vec![Reply::Bytes(late(2), cut(question))]));
        let streams = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&streams);
        world.serve_tcp(
            address(),
            Box::new(move |sent| {
                counts.fetch_add(1, Ordering::Relaxed);
                let reply = answer(&sent[2..], 40);
                let framed = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
                let pieces = framed.chunks(100).take(8).enumerate();
                pieces.map(|(index, piece)| Reply::Bytes(late(1 + index as u64), piece.to_vec())).collect()
            }),
        );
        let pool = pool(&world, &script);
        world.pass(late(millis));
        assert_eq!(world.sockets(), 1, "after {millis} ms");
        assert_eq!(streams.load(Ordering::Relaxed), usize::from(millis >= 2), "after {millis} ms");
        world.run_until(pool.terminate());
        world.settle();
        assert_eq!((world.elapsed(), world.sockets()), (late(millis), 0));
        end(world, &script, pool);
    }
}

#[test]
fn a_resolver_that_cannot_work_is_refused_before_there_is_a_pool() {
    let config = DnsResolverConfig::default;
    let refused = |name: &str, servers: &[SocketAddr], config| {
        DnsResolver::new(name, servers.iter().copied(), config).expect_err("it cannot work")
    };
    assert_eq!(refused("", &[address()], config()), ConfigError::EmptyName);
    assert_eq!(refused(SERVICE, &[], config()), ConfigError::NoServer);
    let zero = DnsResolverConfig { query_timeout: Duration::ZERO, ..config() };
    assert_eq!(refused(SERVICE, &[address()], zero), ConfigError::Zero { field: "query_timeout" });
}

#[test]
fn l5_a_pool_whose_backends_are_all_down_has_the_resolver_ask_at_once() {
    let world = World::new(6);
    let script = Script::new(world.sim());
    for name in ["n1.test.com.", "n2.test.com."] {
        script.set(name, Method::Connect, Act::FAIL);
    }
    let seen = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&seen);
    let server: Server = Box::new(move |question| {
        counts.fetch_add(usize::from(asks_for_srv(question)), Ordering::Relaxed);
        vec![Reply::Bytes(late(1), answer(question, 2))]
    });
    world.serve_udp(address(), server);
    let pool = pool(&world, &script);
    let config = DnsResolverConfig::default();
    world.pass(config.min_query_interval * 2);
    let asked = seen.load(Ordering::Relaxed);
    assert!((2..=3).contains(&asked), "{asked} times in two of the least intervals");
    world.pass(config.query_interval);
    let asked = seen.load(Ordering::Relaxed);
    assert!((6..=15).contains(&asked), "{asked} times: often, but no oftener than it may");
    end(world, &script, pool);
}

/// An answer to a question for DNS servers: one, at 10.9.9.9. Everything else is refused.
fn directions(question: &[u8]) -> Vec<u8> {
    let asked = Message::from_vec(question).expect("a question");
    let query = asked.queries[0].clone();
    let mut message = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    message.add_query(query.clone());
    let name = |text: &str| Name::from_ascii(text).expect("a name");
    let data = match (query.name().to_ascii().as_str(), query.query_type()) {
        ("_dns._udp.test.com.", RecordType::SRV) => {
            Some(RData::SRV(SRV::new(0, 0, 53, name("ns.test.com."))))
        }
        ("ns.test.com.", RecordType::A) => Some(RData::A(A(Ipv4Addr::new(10, 9, 9, 9)))),
        ("ns.test.com.", _) => None,
        _ => {
            message.metadata.response_code = ResponseCode::Refused;
            None
        }
    };
    message.add_answers(data.map(|data| Record::from_rdata(query.name().clone(), 60, data)));
    message.to_vec().expect("it can be encoded")
}

#[test]
fn m6_a_pool_finds_its_backends_through_a_server_that_was_itself_found_by_name() {
    let world = World::new(9);
    let script = Script::new(world.sim());
    world.serve_udp(address(), Box::new(|question| vec![Reply::Bytes(late(1), directions(question))]));
    let found = SocketAddr::from(([10, 9, 9, 9], 53));
    world.serve_udp(found, Box::new(|question| vec![Reply::Bytes(late(1), answer(question, 2))]));
    let config = DnsResolverConfig {
        resolver_service: Some("_dns._udp.test.com".to_owned()),
        ..DnsResolverConfig::default()
    };
    let resolver = DnsResolver::new(SERVICE, [address()], config).expect("it is sound");
    let pool = Pool::new("dns", resolver, script.clone(), Policy::default()).expect("it works");
    drop(world.run_until(pool.claim()).expect("it is found"));
    assert!(world.elapsed() < late(20), "at once: {:?}", world.elapsed());
    world.pass(Duration::from_secs(1));
    assert_eq!(pool.stats().backends.len(), 2);
    end(world, &script, pool);
}

#[test]
fn priorities_and_weights_that_dns_knows_are_the_pools() {
    let world = World::new(10);
    let script = Script::new(world.sim());
    let targets = [(10, 3), (10, 1), (20, 100)];
    world.serve_udp(
        address(),
        Box::new(move |question| vec![Reply::Bytes(late(1), answer_with(question, &targets))]),
    );
    let pool = pool(&world, &script);
    // Whatever was found first had it all for a moment.
    world.pass(Duration::from_secs(130));
    let found = || {
        let mut backends = pool.stats().backends;
        backends.sort_by(|one, other| one.backend.name.cmp(&other.backend.name));
        backends
    };
    let rest: Vec<_> = found().iter().map(|of| of.unclaimed_slots).collect();
    assert_eq!(rest, [6, 2, 0]);
    for _ in 0..80 {
        drop(world.run_until(pool.claim()).expect("it is served"));
    }
    let claims: Vec<_> = found().iter().map(|of| of.total_claims).collect();
    assert_eq!(claims, [60, 20, 0]);
    for name in ["n1.test.com.", "n2.test.com."] {
        script.set(name, Method::Connect, Act::FAIL);
        script.set(name, Method::Check, Act::FAIL);
        script.set(name, Method::Recycle, Act::FAIL);
    }
    // Each of the two costs one error, and then claims are served by the next tier.
    let mut served = Vec::new();
    for _ in 0..10 {
        let handle = world.run_until(pool.claim()).expect("it is served");
        served.push(handle.backend().priority);
        drop(handle);
        world.settle();
    }
    assert!(served.iter().filter(|priority| **priority == 10).count() <= 2, "{served:?}");
    end(world, &script, pool);
}
