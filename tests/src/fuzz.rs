//! What fuzzers do with bytes: each target is a function here, so that its corpus is replayed by a test.
//!
//! None returns anything: a broken rule is a panic.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use qorb_core::dice::Dice;
use qorb_core::dns::{Config, Resolver, SocketFailure};
use qorb_core::pool::{Policy, PoolMachine};
use qorb_core::record::Recorded;
use qorb_core::{Machine, Timestamp};

use crate::dns_world::{Asked, Reply, World, Zone};
use crate::explore::World as _;
use crate::pool_world::{self, Freedom, PoolWorld, Size};
use crate::walk::{Seen, again};

/// A target by the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 4] = [
    ("log", log),
    ("pool_events", pool_events),
    ("reply_bytes", reply_bytes),
    ("resolver_events", resolver_events),
];

/// How many answers or events are taken from one input.
const STEPS: usize = 400;

/// Of the events of a pool one of so many is told twice.
const REPEATED: u64 = 4;
/// Bits of the byte for the tries: backends have tiers, and the first one moves.
const TIERS: u8 = 1 << 6;
const MOVES: u8 = 1 << 7;

/// Bytes that run out: then they are all 0.
#[derive(Debug)]
struct Bytes<'bytes>(&'bytes [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Lets a pool machine live through events that are possible, each chosen by a byte, and checks the contract
/// after every one; now and then also that the same event leads to the same once more, with a clock that went
/// back too (C1, C8).
///
/// # Panics
///
/// Panics where a rule is broken.
pub fn pool_events(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut one_to = |most: u8| 1 + bytes.next() % most;
    let (backends, slots) = (one_to(4).into(), one_to(4).into());
    let (slots_of_one, claims) = (one_to(4).into(), one_to(4).into());
    let tries = bytes.next();
    let freedom = Freedom { tiers: tries & TIERS != 0, moves: tries & MOVES != 0, ..Freedom::ALL };
    let size = Size {
        backends,
        slots,
        slots_of_one,
        claims,
        max_waiting: 2,
        spares: 1,
        connect_timeout: 2,
        tries: 1 + tries % 3,
        numbered: false,
        repeated: REPEATED,
    };
    let mut world = PoolWorld::new(size, freedom);
    let (mut before, mut twin) = (world.clone(), world.clone());
    let (mut seen, mut steps) = (pool_world::Seen::default(), Vec::new());
    for number in 0..STEPS as u64 {
        if bytes.is_empty() {
            return;
        }
        steps.clear();
        world.enabled(&mut steps);
        let step = steps[usize::from(bytes.next()) % steps.len()].clone();
        let broken = |rule| panic!("{step:?}: {rule}");
        let is_repeated = number.is_multiple_of(world.repeated());
        if is_repeated {
            before.clone_from(&world);
        }
        world.take(&step, &mut seen).unwrap_or_else(broken);
        if is_repeated {
            before.repeat(&step, &world, &mut twin).unwrap_or_else(broken);
        }
    }
}

/// Answers every question of a resolver with these bytes, under the right number.
///
/// # Panics
///
/// Panics where the resolver or what must hold of it does.
pub fn reply_bytes(bytes: &[u8]) {
    let server = server();
    let mut world = World::new(&[server], Config::default(), 7);
    let bytes = bytes.to_vec();
    world.serve(server, move |asked: &Asked| {
        let mut reply = bytes.clone();
        for (place, own) in reply.iter_mut().zip(&asked.bytes[..2]) {
            *place = *own;
        }
        vec![asked.bytes(Duration::from_millis(1), reply)]
    });
    world.run_for(Duration::from_secs(30));
}

/// Lets a resolver live among servers that answer as the bytes say: well, wrongly, late, or not at all.
///
/// # Panics
///
/// Panics where the resolver or what must hold of it does.
pub fn resolver_events(bytes: &[u8]) {
    let script = Rc::new(RefCell::new(Vec::from(bytes).into_iter()));
    let server = server();
    let mut world = World::new(&[server], Config::default(), u64::from(bytes.first().copied().unwrap_or(0)));
    let mut honest = Zone::of(3).server();
    let answers = Rc::clone(&script);
    world.serve(server, move |asked: &Asked| {
        let next = || answers.borrow_mut().next().unwrap_or(0);
        let (kind, place, value) = (next(), next(), next());
        let after = Duration::from_millis(u64::from(place) * 20);
        let truth = honest(asked);
        match kind % 8 {
            0 | 1 => truth,
            2 => Vec::new(),
            3 => truth.into_iter().map(|reply| reply.after(after)).collect(),
            4 => truth.into_iter().map(|reply| changed(reply, place, value)).collect(),
            5 => vec![asked.fails(after, SocketFailure::Refused)],
            6 => vec![asked.bytes(after, vec![value; usize::from(place)])],
            _ => truth.into_iter().map(|reply| cut(reply, place)).collect(),
        }
    });
    let asked = script.borrow().len() / 3;
    for _ in 0..asked.min(STEPS) {
        world.run_for(Duration::from_secs(20));
    }
}

fn server() -> SocketAddr {
    ([10, 0, 0, 53], 53).into()
}

fn changed(mut reply: Reply, place: u8, value: u8) -> Reply {
    if let Some(bytes) = reply.content_mut()
        && !bytes.is_empty()
    {
        let place = usize::from(place) % bytes.len();
        bytes[place] = value;
    }
    reply
}

fn cut(mut reply: Reply, place: u8) -> Reply {
    if let Some(bytes) = reply.content_mut() {
        bytes.truncate(place.into());
    }
    reply
}

/// Reads a log, and each of its lines as an event of either machine: what can be read can be written, and is
/// read the same again. Then it happens, as far as an honest embedder may tell it.
///
/// # Panics
///
/// Panics where an event is read otherwise the second time, and where a machine does.
pub fn log(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let pool = PoolMachine::new(Policy::default(), &Dice::Fixed, Timestamp::EPOCH).expect("it is valid");
    let resolver = World::new(&[server()], Config::default(), 7).resolver;
    for line in text.lines() {
        read_twice::<PoolMachine>(&pool, line);
        read_twice::<Resolver>(&resolver, line);
    }
    if let Ok(Seen::Violation { rule, .. }) = again(&text) {
        assert!(!rule.starts_with("panicked"), "{rule}");
    }
}

fn read_twice<M>(machine: &M, line: &str)
where
    M: Recorded + Machine<Event: PartialEq + std::fmt::Debug>,
{
    let Ok(event) = M::read_event(line) else { return };
    let written = machine.event_line(Timestamp::EPOCH, &event);
    let (_, text) = written.split_once(' ').expect("the time comes first");
    assert_eq!(M::read_event(text).as_ref(), Ok(&event), "{line} was written as {text}");
}
