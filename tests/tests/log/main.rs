//! What a pool and its resolver write to a log. Alone in their program, one after the other: who listens to
//! `tracing` is a matter of the whole process, and other threads would take part in it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hickory_proto::op::Message;
use qorb_core::Timestamp;
use qorb_core::dns::QueryId;
use qorb_driver::{DnsResolver, DnsResolverConfig, Policy, Pool};
use qorb_tests::dns_world::{Asked, SERVICE, Zone};
use qorb_tests::sim::World;
use qorb_tests::sim::announce::Announcer;
use qorb_tests::sim::net::Reply;
use qorb_tests::sim::script::{Act, Method, Script, SimPool, Then};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing_subscriber::filter::LevelFilter;

/// The first of two servers; nobody runs the other.
const SERVER: &str = "[::1]:53";

/// What a server says that knows two backends.
fn answer(server: SocketAddr, question: &[u8]) -> Vec<u8> {
    let message = Message::from_vec(question).expect("a question");
    let (at, query, bytes) = (Timestamp::EPOCH, QueryId(0), question.to_vec());
    let asked = Asked { at, query, server, on_stream: false, message, bytes };
    Zone::of(2).answer(&asked).to_vec().expect("it can be encoded")
}

/// Where a log is written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One of them at a time.
static TURN: Mutex<()> = Mutex::new(());

impl Page {
    /// A page on which everything is written from now on, until what comes with it is dropped.
    fn open() -> (Self, (DefaultGuard, MutexGuard<'static, ()>)) {
        let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let page = Self::default();
        let writer = page.clone();
        let log =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time();
        let guard = set_default(log.with_max_level(LevelFilter::DEBUG).finish());
        (page, (guard, turn))
    }

    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("nobody panics with it").clone();
        String::from_utf8(bytes).expect("it is text").lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_log_tells_what_is_asked_heard_and_changed_and_complains_less_and_less() {
    let (page, _open) = Page::open();
    let world = World::new(12);
    let script = Script::new(world.sim());
    let servers: [SocketAddr; 2] = [SERVER, "[::2]:53"].map(|server| server.parse().expect("an address"));
    let on = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&on);
    let reply = move |question: &[u8]| Reply::Bytes(Duration::from_millis(1), answer(servers[0], question));
    let serve = move |question: &[u8]| {
        if switch.load(Ordering::Relaxed) { vec![reply(question)] } else { Vec::new() }
    };
    world.serve_udp(servers[0], Box::new(serve));
    let resolver = DnsResolver::new(SERVICE, servers, DnsResolverConfig::default()).expect("it is sound");
    let pool: SimPool = Pool::new("seen", resolver, script.clone(), Policy::default()).expect("it works");
    world.pass(Duration::from_secs(100));
    on.store(false, Ordering::Relaxed);
    world.pass(Duration::from_secs(2_000));
    drop((pool, script));
    world.settle();

    let lines = page.lines();
    let lines: Vec<&str> =
        lines.iter().map(|line| line.trim_start()).filter(|line| line.contains("dns")).collect();
    let count =
        |words: &[&str]| lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).count();
    let question = format!("question={SERVICE} SRV");
    assert!(count(&["DEBUG", "asked", &question, "server=[::1]:53", "attempt=1"]) > 2, "{lines:#?}");
    assert!(count(&["DEBUG", "answered", &question, "answer=2 records for "]) > 1, "{lines:#?}");
    assert_eq!(
        count(&["INFO", "another set"]),
        2,
        "one backend is found after the other, and nothing changes after that"
    );
    assert_eq!(count(&["WARN", "nobody confirms the set"]), 1);
    let failed = count(&["DEBUG", "no answer", "server=[::2]:53", &question]);
    let complaints = count(&["WARN", "a server failed", "server=[::2]:53"]);
    assert!(failed > 20 && complaints < 8, "{complaints} complaints of {failed} failures");
    assert!(
        lines.iter().all(|line| line.contains("resolver{pool=\"seen\"}")),
        "with the pool's name: {lines:#?}"
    );
}

#[test]
fn a_log_tells_of_backends_that_come_fail_and_go_and_complains_less_and_less() {
    let (page, _open) = Page::open();
    let world = World::new(3);
    let (script, sets) = (Script::new(world.sim()), Announcer::new());
    let policy = Policy::default();
    let pool: SimPool = Pool::new("seen", sets.resolver(), script.clone(), policy).expect("it works");
    script.set("b", Method::Connect, Act::FAIL);
    sets.publish(&["a", "b"]);
    world.pass(Duration::from_secs(600));
    let failed = script.ends(Method::Connect, Then::Fail);
    sets.publish(&["b"]);
    world.pass(Duration::from_secs(1));
    drop((pool, script));
    world.settle();

    let lines = page.lines();
    let count =
        |words: &[&str]| lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).count();
    for (what, backend) in
        [("added", "a"), ("added", "b"), ("online", "a"), ("offline", "a"), ("removed", "a")]
    {
        let line = format!("backend {what}");
        let backend = format!("backend={backend}@");
        assert_eq!(count(&["INFO", &line, &backend, "pool=\"seen\""]), 1, "{what}: {lines:#?}");
    }
    assert_eq!(count(&["backend online", "backend=b@"]), 0);
    let complaints = count(&["WARN", "connection failed", "backend=b@", "failure=Error", "pool=\"seen\""]);
    assert_eq!(complaints, failed.ilog2() as usize + 1, "the first, second, fourth and so on of {failed}");
    assert!(failed > 20, "{failed}");
}
