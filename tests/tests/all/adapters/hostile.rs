//! A message that takes as long to read as one can: whoever claims meanwhile does not notice.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qorb_core::dns::Transport;
use qorb_driver::{Backend, DnsResolver, DnsResolverConfig, DnsSets, Need, Policy, Pool, Resolver, Runtime};
use qorb_examples::{DnsServer, Platform};
use smol::stream::Stream;

use super::{ANY, PoolOn, echo_server, on_both_runtimes, run, until};

const SERVICE: &str = "_echo._tcp.test.com.";
/// Far longer than any other poll, and shorter than what is left of this one wherever it is looked at.
const LONG: Duration = Duration::from_millis(1);
/// How many claims are to succeed while one is read.
const CLAIMS: u64 = 100;

on_both_runtimes! {
    h61_claims_go_on_while_a_hostile_message_is_read,
}

fn h61_claims_go_on_while_a_hostile_message_is_read<P: Platform>() {
    run::<P, _>(async {
        let server = echo_server();
        let targets = [("echo001.test.com.", server.address())];
        let honest = DnsServer::start(ANY, SERVICE, targets).expect("there is a port");
        let config = DnsResolverConfig {
            query_interval: Duration::from_millis(50),
            transport: Transport::TcpOnly,
            edns_payload: None,
            ..DnsResolverConfig::default()
        };
        let resolver = DnsResolver::new(SERVICE, [honest.address(), hostile_server()], config);
        let polls = Arc::new(Polls::default());
        let watched = Watched { resolver: resolver.expect("it is sound"), polls: Arc::clone(&polls) };
        let pool: PoolOn<P> =
            Pool::new("hostile", watched, P::Tcp::default(), Policy::default()).expect("it works");
        drop(pool.claim().await.expect("the honest server is heard"));
        until::<P>("many claims succeed while it is read", || claim_through_a_poll::<P>(&pool, &polls)).await;
    });
}

/// Claims for as long as the resolver is being polled; whether that was long, and the claims many.
fn claim_through_a_poll<P: Platform>(pool: &PoolOn<P>, polls: &Polls) -> bool {
    let poll = polls.current.load(Ordering::SeqCst);
    let is_under_way = || poll % 2 == 1 && polls.current.load(Ordering::SeqCst) == poll;
    let (begin, mut claims) = (Instant::now(), 0);
    while is_under_way() {
        let claimed = pin!(pool.try_claim()).poll(&mut Context::from_waker(Waker::noop()));
        // One that ended after the poll did might have waited for it.
        claims += u64::from(matches!(claimed, Poll::Ready(Ok(_))) && is_under_way());
    }
    begin.elapsed() > LONG && claims > CLAIMS
}

/// Counts when the resolver begins to be polled, and when that ends: odd while it is.
#[derive(Default)]
struct Polls {
    current: AtomicU64,
}

/// A resolver whose polls are counted.
struct Watched {
    resolver: DnsResolver,
    polls: Arc<Polls>,
}

struct WatchedSets<R: Runtime> {
    sets: DnsSets<R>,
    polls: Arc<Polls>,
}

impl<R: Runtime> Resolver<R> for Watched {
    type Sets = WatchedSets<R>;

    fn start(self, runtime: &R, need: Need) -> WatchedSets<R> {
        WatchedSets { sets: self.resolver.start(runtime, need), polls: self.polls }
    }
}

impl<R: Runtime> Stream for WatchedSets<R> {
    type Item = Vec<Backend>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<Backend>>> {
        self.polls.current.fetch_add(1, Ordering::SeqCst);
        let next = Pin::new(&mut self.sets).poll_next(cx);
        self.polls.current.fetch_add(1, Ordering::SeqCst);
        next
    }
}

/// Answers every question on a stream with the worst message there is, for as long as the test runs.
fn hostile_server() -> SocketAddr {
    let listener = TcpListener::bind(ANY).expect("there is a port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Whoever hangs up has had enough.
            let _ = be_hostile(stream);
        }
    });
    address
}

fn be_hostile(mut stream: TcpStream) -> std::io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut question)?;
    let answer = worst(&question);
    let length = u16::try_from(answer.len()).expect("it fits");
    stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
    // It hangs up first.
    stream.read(&mut question).map(drop)
}

/// A chain of pointers as long as pointers reach, and 4000 records whose name is its end.
fn worst(question: &[u8]) -> Vec<u8> {
    let pointer = |to: usize| u16::try_from(0xc000 | to).expect("a pointer has 14 bits").to_be_bytes();
    let records: u16 = 4000;
    let header = [&question[..2], &[0x84, 0, 0, 1], &(records + 1).to_be_bytes(), &[0; 4]].concat();
    let mut message = [&header, &question[12..]].concat();
    // Of a type that nobody knows, so that nobody reads the pointers in it.
    message.extend([0, 3, 231, 0, 1, 0, 0, 0, 60]);
    let begin = message.len() + 2;
    let count = (0x3ffe - begin) / 2;
    message.extend(u16::try_from(2 * count).expect("below 16 KiB").to_be_bytes());
    // The first points to the question's name, every other one to the one before.
    let targets = [12].into_iter().chain((0..count - 1).map(|step| begin + 2 * step));
    message.extend(targets.flat_map(pointer));
    let end = pointer(begin + 2 * (count - 1));
    for _ in 0..records {
        message.extend([&end[..], &[3, 231, 0, 1, 0, 0, 0, 60, 0, 0]].concat());
    }
    message
}
