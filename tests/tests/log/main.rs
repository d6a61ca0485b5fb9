//! What a resolver writes to a log. Alone in its program: who listens to `tracing` is a matter of the whole process,
//! and other threads would take part in it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::Message;
use qorb_core::Timestamp;
use qorb_core::dns::QueryId;
use qorb_driver::{DnsResolver, DnsResolverConfig, Policy, Pool};
use qorb_tests::dns_world::{Asked, SERVICE, Zone};
use qorb_tests::sim::World;
use qorb_tests::sim::net::Reply;
use qorb_tests::sim::script::{Script, SimPool};
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

impl Page {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("nobody panics with it").clone();
        String::from_utf8(bytes).expect("it is text").lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_log_tells_what_is_asked_heard_and_changed_and_complains_less_and_less() {
    let page = Page::default();
    let writer = page.clone();
    let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time();
    let _guard = tracing::subscriber::set_default(log.with_max_level(LevelFilter::DEBUG).finish());
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
