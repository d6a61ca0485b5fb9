//! Backends found by DNS, over real UDP and TCP.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::Duration;

use qorb_driver::{DnsResolver, DnsResolverConfig, Policy, Pool, Runtime as _, UdpSocket as _};
use qorb_examples::{DnsServer, EchoServer, Load, Platform, Work};

use super::{ANY, PATIENCE, PoolOn, echo_server, on_both_runtimes, revive, run, runtime, until};

const SERVICE: &str = "_echo._tcp.test.com.";
const NAMES: [&str; 3] = ["echo001.test.com.", "echo002.test.com.", "echo003.test.com."];

on_both_runtimes! {
    backends_are_found_over_udp,
    what_a_stranger_sends_to_a_questions_socket_is_not_heard,
    an_answer_too_long_for_a_datagram_comes_over_tcp,
    a_dns_server_that_dies_costs_nothing_and_is_heard_again_when_it_is_back,
}

fn backends_are_found_over_udp<P: Platform>() {
    run::<P, _>(async {
        let servers = [echo_server(), echo_server(), echo_server()];
        let dns = dns_server(targets(&servers, 0..3));
        let pool = pool_over::<P>(&dns);
        let load = Load::start(&runtime::<P>(), &pool, Work { claimers: 4, hold: Duration::ZERO });
        until::<P>("all three serve", || load.tally().by_backend.len() == 3).await;
        let tally = load.finish(&runtime::<P>(), &pool).await;
        assert_eq!(tally.claims_failed, 0, "{:?}", tally.latest_error);
        assert_eq!(tally.by_backend.keys().collect::<Vec<_>>(), NAMES);
        assert_eq!(dns.asked().1, 0, "nothing was too long");
    });
}

fn what_a_stranger_sends_to_a_questions_socket_is_not_heard<P: Platform>() {
    run::<P, _>(async {
        let (server, stranger) = (socket(), socket());
        let runtime = runtime::<P>();
        let mut ports = BTreeSet::new();
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut asking = runtime.udp(server.local_addr().expect("bound")).await.expect("a socket");
            asking.send(b"question").await.expect("it is sent");
            let (_, from) = server.recv_from(&mut [0; 100]).expect("it arrives");
            stranger.send_to(b"forged", from).expect("it is sent");
            server.send_to(b"answer", from).expect("it is sent");
            let mut buffer = [0; 100];
            let length = asking.recv(&mut buffer).await.expect("it arrives");
            assert_eq!(&buffer[..length], b"answer", "B1: only who was asked is heard");
            ports.insert(from.port());
            open.push(asking);
        }
        assert_eq!(ports.len(), open.len(), "T2: each question has a port of its own");
    });
}

fn an_answer_too_long_for_a_datagram_comes_over_tcp<P: Platform>() {
    run::<P, _>(async {
        let server = echo_server();
        let names: Vec<_> = (0..60).map(|number| format!("echo{number:03}.test.com.")).collect();
        let dns = dns_server(names.iter().map(|name| (name.as_str(), server.address())));
        let pool = pool_over::<P>(&dns);
        until::<P>("all of them are found", || known::<P>(&pool).len() == names.len()).await;
        assert_eq!(known::<P>(&pool), names.into_iter().collect());
        assert!(dns.asked().1 > 0, "it came over TCP");
        drop(pool.claim().await.expect("they are all the same server"));
    });
}

fn a_dns_server_that_dies_costs_nothing_and_is_heard_again_when_it_is_back<P: Platform>() {
    run::<P, _>(async {
        let servers = [echo_server(), echo_server(), echo_server()];
        let mut dns = dns_server(targets(&servers, 0..2));
        let pool = pool_over::<P>(&dns);
        let load = Load::start(&runtime::<P>(), &pool, Work { claimers: 4, hold: Duration::ZERO });
        until::<P>("two are known", || known::<P>(&pool).len() == 2).await;
        until::<P>("it is asked again and again", || dns.asked().0 > 10).await;

        dns.kill();
        let claims = load.tally().claims_ok;
        until::<P>("much was served since", || load.tally().claims_ok > claims + 2_000).await;
        assert_eq!(known::<P>(&pool).len(), 2, "nothing was forgotten");

        dns.publish(targets(&servers, 1..3)).expect("they are names");
        revive::<P, _>(|| dns.revive()).await;
        let changed: BTreeSet<_> = NAMES[1..].iter().map(ToString::to_string).collect();
        until::<P>("what it says now is heard", || known::<P>(&pool) == changed).await;
        until::<P>("the new one serves", || load.tally().by_backend.contains_key(NAMES[2])).await;
        let tally = load.finish(&runtime::<P>(), &pool).await;
        assert_eq!(tally.claims_failed, 0, "{:?}", tally.latest_error);
        assert_eq!(tally.cut_off, [], "{:?}", tally.latest_error);
    });
}

/// A socket at which nobody waits for ever.
fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(ANY).expect("there is a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    socket
}

/// The servers of these numbers, by their names.
fn targets(
    servers: &[EchoServer],
    numbers: Range<usize>,
) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    numbers.map(|number| (NAMES[number], servers[number].address()))
}

fn dns_server<'a>(targets: impl IntoIterator<Item = (&'a str, SocketAddr)>) -> DnsServer {
    DnsServer::start(ANY, SERVICE, targets).expect("there is a free port, and they are names")
}

/// A pool over a DNS server that is asked often.
fn pool_over<P: Platform>(dns: &DnsServer) -> PoolOn<P> {
    let often = Duration::from_millis(50);
    let default = DnsResolverConfig::default();
    let config = DnsResolverConfig { query_interval: often, min_query_interval: often, ..default };
    let resolver = DnsResolver::new(SERVICE, [dns.address()], config).expect("it is a name");
    Pool::new("names", resolver, P::Tcp::default(), Policy::default())
        .expect("a policy that works, in a runtime")
}

/// The names of the backends that the resolver has told of.
fn known<P: Platform>(pool: &PoolOn<P>) -> BTreeSet<String> {
    let backends = pool.stats().backends.into_iter().filter(|backend| backend.in_set);
    backends.map(|stats| stats.backend.name.to_string()).collect()
}
