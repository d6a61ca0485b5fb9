//! An honest embedder of the resolver machine, whose servers are free to say anything at any time. It
//! knows what the set has to be after every edge; `DNS.md` §4.4 is quoted by number.

mod messages;
mod rules;
mod verdicts;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use qorb_core::digest::Digest;
use qorb_core::dns::{Action, Addresses, Config, Event, QueryId, Resolver, SocketFailure};
use qorb_core::record::Recorded as _;
use qorb_core::{Machine, Timestamp};

use self::messages::{Messages, Subject};
use self::verdicts::{Part, Told};
use crate::dns_world::SERVICE;
use crate::explore::{Progress, Report, Sometimes, World, explore};

/// The step of time, and the shortest time between rounds. A lookup takes three at most; after two of failing,
/// while another one answers, what a server said lapses.
const STEP: Duration = Duration::from_secs(300);
/// How many steps a lookup takes at most.
const LOOKUP: u32 = 3;
/// Rounds of denials in a row that empty the set.
const CONFIRMATIONS: u8 = 2;
/// The most questions of a round to one server: one about the service, two about addresses, four times each.
const MOST_ASKED: u8 = 12;
/// A world has no more servers.
const MOST: usize = 2;

/// Things that must happen somewhere in an exploration of the resolver.
pub const SOMETIMES: &[&str] = &[
    "an answer to an earlier attempt is used",
    "an address is asked for",
    "a backend is added while another server is silent",
    "a backend is removed",
    "the set is emptied after denials were confirmed",
    "the set is emptied at once",
    "the set stays though every server failed",
    "what a server said lapses",
    "a cut answer is asked for on a stream",
    "a stream answers",
    "a hint hurries the next round",
    "the end closes a socket",
];

/// What must come about in the end, whatever happened before, if one server answers and the others are silent.
const PROMISES: [&str; MOST] =
    ["the set becomes what the first server says", "the set becomes what the second server says"];

/// What may happen in a world besides answers that name both targets or the second alone, silence, and answers
/// that come late or twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freedom {
    /// Answers lack an address, which is then asked for, and is there or not.
    pub bare: bool,
    /// Servers deny that there is anything, or offer nothing.
    pub denials: bool,
    /// Servers report an error, refuse, or send what cannot be read; sockets fail.
    pub errors: bool,
    /// Answers are cut, and asked for on a stream.
    pub cut: bool,
    /// Somebody hopes for a better set.
    pub hints: bool,
    /// The resolver ends.
    pub shutdown: bool,
}

impl Freedom {
    /// Everything may happen.
    pub const ALL: Self =
        Self { bare: true, denials: true, errors: true, cut: true, hints: true, shutdown: true };
}

/// What a server says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Saying {
    /// Both targets, with their addresses.
    Both,
    /// The second target, with its address, and one that nobody asked for.
    Second,
    /// Both targets, and the address of the second.
    Bare,
    /// The target's address.
    There,
    /// That there is no such name.
    Nothing,
    /// That the service is decidedly not available.
    NotOffered,
    /// An error.
    Trouble,
    /// That it does not serve this zone.
    Refused,
    /// Both targets in a message that was cut.
    Cut,
    /// The same in one that ends too early and does not say so.
    Garbled,
    /// Both targets, to another question.
    Foreign,
}

impl Saying {
    const ALL: [Self; 11] = [
        Self::Both,
        Self::Second,
        Self::Bare,
        Self::There,
        Self::Nothing,
        Self::NotOffered,
        Self::Trouble,
        Self::Refused,
        Self::Cut,
        Self::Garbled,
        Self::Foreign,
    ];
}

/// What can happen next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A server answers on this socket or stream.
    Answer(QueryId, Saying),
    /// An answer comes again, or so late that its socket is gone.
    Stray,
    /// A stream is open.
    Opened(QueryId),
    /// A server closes a stream.
    Closed(QueryId),
    /// A socket or stream fails.
    Failed(QueryId),
    /// Somebody hopes for a better set.
    Hint,
    /// The resolver ends.
    ShutDown,
    /// Time passes.
    Tick,
}

/// Walks through every state of a world with so many servers, or its first `limit` or so, and adds to what was
/// `seen` elsewhere. `progress` is told after every layer.
pub fn walk(
    servers: usize,
    freedom: Freedom,
    limit: usize,
    seen: Sometimes,
    progress: impl FnMut(&Progress),
) -> Report<Sometimes> {
    explore(&ResolverWorld::new(servers, freedom), seen, limit, progress)
}

/// A resolver machine and a model of all that its embedder and its servers are to know.
#[derive(Clone, Debug)]
pub struct ResolverWorld {
    machine: Resolver,
    freedom: Freedom,
    messages: Rc<Messages>,
    now: Timestamp,
    servers: [ServerModel; MOST],
    count: usize,
    open: Vec<Socket>,
    /// What the set has to be, by the targets' bits.
    expected: u8,
    /// Some set was published.
    published: bool,
    /// Rounds in a row in which there were only denials.
    denials: u8,
    /// One of this round needs no confirmation.
    decided: bool,
    /// Steps since the round under way began.
    age: u32,
    /// A round is under way.
    asking: bool,
    /// When the latest one ended.
    rested: Option<Timestamp>,
    ended: bool,
    /// What was said of servers in the latest event.
    told: Told,
    out: Vec<Action>,
}

/// What a server has said that still counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct ServerModel {
    /// The targets it named.
    targets: u8,
    /// Those of them whose address it knows.
    found: u8,
    /// How it does in rounds.
    part: Part,
}

/// A socket or stream that is open.
#[derive(Clone, Copy, Debug)]
struct Socket {
    query: QueryId,
    server: usize,
    subject: Subject,
    id: u16,
    attempt: u8,
    is_stream: bool,
    /// The question was written.
    sent: bool,
}

impl ResolverWorld {
    /// A resolver before its first round. All time-outs are small multiples of the step of time.
    ///
    /// # Panics
    ///
    /// Panics where there are none or too many servers.
    #[must_use]
    pub fn new(servers: usize, freedom: Freedom) -> Self {
        assert!((1..=MOST).contains(&servers), "one server or two");
        let config = Config {
            max_dns_concurrency: MOST,
            query_interval: STEP,
            query_retry_if_no_records_found: STEP * 2,
            query_timeout: STEP * LOOKUP,
            attempt_timeout: STEP,
            min_query_interval: STEP,
            negative_confirmations: CONFIRMATIONS.into(),
            addresses: Addresses::V6Only,
            edns_payload: None,
            jitter_percent: 0,
            ..Config::default()
        };
        let addresses: Vec<_> = (0..servers).map(server).collect();
        let machine = Resolver::new(SERVICE, &addresses, config, [7; 32], Timestamp::EPOCH);
        Self {
            machine: machine.expect("the world's own configuration is valid"),
            freedom,
            messages: Rc::new(Messages::new()),
            now: Timestamp::EPOCH,
            servers: [ServerModel::default(); MOST],
            count: servers,
            open: Vec::new(),
            expected: 0,
            published: false,
            denials: 0,
            decided: false,
            age: 0,
            asking: false,
            rested: None,
            ended: false,
            told: Told::default(),
            out: Vec::new(),
        }
    }

    fn event(&self, step: Step) -> Event {
        match step {
            Step::Answer(query, saying) => {
                let socket = self.socket(query);
                let bytes = self.messages.bytes(socket.subject, saying, socket.id, socket.is_stream);
                if socket.is_stream {
                    Event::StreamBytes(query, bytes)
                } else {
                    Event::Datagram(query, bytes)
                }
            }
            Step::Stray => {
                let bytes = self.messages.bytes(Subject::Service, Saying::Both, 0, false);
                Event::Datagram(QueryId(u32::MAX), bytes)
            }
            Step::Opened(query) => Event::StreamOpened(query),
            Step::Closed(query) => Event::StreamClosed(query),
            Step::Failed(query) => Event::Failed(query, SocketFailure::Refused),
            Step::Hint => Event::ResolveNow,
            Step::ShutDown => Event::ShutDown,
            Step::Tick => Event::Tick,
        }
    }

    fn socket(&self, query: QueryId) -> Socket {
        *self.open.iter().find(|socket| socket.query == query).expect("only open sockets are spoken of")
    }

    /// Whether no later attempt at the same question is open.
    fn is_latest(&self, socket: &Socket) -> bool {
        let same = |other: &&Socket| (other.server, other.subject) == (socket.server, socket.subject);
        self.open.iter().filter(same).all(|other| other.attempt <= socket.attempt)
    }

    /// What can happen on a socket.
    fn possible(&self, socket: &Socket, steps: &mut Vec<Step>) {
        let query = socket.query;
        let Freedom { bare, denials, errors, cut, .. } = self.freedom;
        if socket.is_stream {
            if socket.sent {
                steps.extend([Step::Answer(query, Saying::Both), Step::Closed(query)]);
            } else {
                steps.extend([Step::Opened(query), Step::Failed(query)]);
            }
            return;
        }
        let mut say = |may: bool, saying| steps.extend(may.then_some(Step::Answer(query, saying)));
        let latest = self.is_latest(socket);
        match socket.subject {
            // An earlier attempt is answered like the latest: that it counts at all is seen by one answer.
            Subject::Service if !latest => say(true, Saying::Both),
            Subject::Target(_) if !latest => say(true, Saying::There),
            Subject::Service => {
                say(true, Saying::Both);
                say(true, Saying::Second);
                say(bare, Saying::Bare);
                say(denials, Saying::Nothing);
                say(denials, Saying::NotOffered);
                say(errors, Saying::Trouble);
                say(errors, Saying::Refused);
                say(errors, Saying::Garbled);
                say(errors, Saying::Foreign);
                say(cut, Saying::Cut);
            }
            Subject::Target(_) => {
                say(true, Saying::There);
                say(denials, Saying::Nothing);
                say(errors, Saying::Trouble);
            }
        }
        if latest && errors {
            steps.push(Step::Failed(query));
        }
    }

    /// What a server says that names backends, as targets' bits.
    fn positive(&self) -> u8 {
        self.servers.iter().fold(0, |all, server| all | (server.targets & server.found))
    }
}

impl World for ResolverWorld {
    type Step = Step;
    type Seen = Sometimes;

    fn enabled(&self, steps: &mut Vec<Step>) {
        for socket in &self.open {
            self.possible(socket, steps);
        }
        if self.ended {
            return;
        }
        // The first tick starts the first round, and so would anything else.
        let begun = self.rested.is_some() || self.asking;
        steps.extend(begun.then_some(Step::Stray));
        steps.extend((begun && self.freedom.hints).then_some(Step::Hint));
        steps.extend(self.freedom.shutdown.then_some(Step::ShutDown));
        steps.push(Step::Tick);
    }

    fn take(&mut self, step: &Step, seen: &mut Sometimes) -> Result<(), String> {
        self.step(*step, seen)
    }

    fn repeat(&self, step: &Step, led_to: &Self, twin: &mut Self) -> Result<(), String> {
        twin.machine.clone_from(&self.machine);
        twin.out.clear();
        twin.machine.handle(led_to.now, self.event(*step), &mut twin.out);
        ensure(twin.out == led_to.out, || format!("I1: other actions the second time: {:?}", twin.out))?;
        ensure(twin.machine == led_to.machine, || "I1: another state the second time".to_owned())
    }

    fn fingerprint(&self) -> u128 {
        let mut digest = Digest::EMPTY;
        let machine = self.machine.likeness(STEP);
        digest.push(machine as u64);
        digest.push((machine >> 64) as u64);
        for server in &self.servers {
            digest.push(u64::from(server.targets) << 8 | u64::from(server.found));
            digest.push(server.part.digest());
        }
        let flags = [self.published, self.decided, self.ended];
        let flags = flags.into_iter().fold(0, |flags, flag| flags << 1 | u64::from(flag));
        digest.push(
            u64::from(self.age) << 24 | u64::from(self.denials) << 16 | u64::from(self.expected) << 8 | flags,
        );
        digest.finish()
    }

    fn is_compared(&self, _: &Step) -> bool {
        true
    }

    fn promises(&self) -> &'static [&'static str] {
        &PROMISES[..self.count]
    }

    /// From now on one server names the second target, whenever it is asked.
    fn pursue(&self, promise: usize) -> Option<Step> {
        let rest = (0..self.count).filter(|server| *server != promise);
        let contradicted = rest.into_iter().any(|server| {
            let model = self.servers[server];
            model.targets & model.found & !2 != 0
        });
        if self.ended || (self.expected == 2 && !contradicted) {
            return None;
        }
        let answers = |socket: &&Socket| socket.server == promise && self.is_latest(socket);
        let Some(socket) = self.open.iter().find(answers) else { return Some(Step::Tick) };
        Some(match (socket.subject, socket.is_stream) {
            (Subject::Service, true) if !socket.sent => Step::Opened(socket.query),
            (Subject::Service, true) => Step::Answer(socket.query, Saying::Both),
            (Subject::Service, false) => Step::Answer(socket.query, Saying::Second),
            (Subject::Target(_), _) => Step::Answer(socket.query, Saying::There),
        })
    }

    fn tell(&mut self, step: &Step) -> String {
        let at = if *step == Step::Tick { self.now.after(STEP) } else { self.now };
        let told = self.machine.event_line(at, &self.event(*step));
        let mut text = format!("# {step:?}\n{told}");
        let broken = self.step(*step, &mut Sometimes::new(SOMETIMES));
        for action in &self.out {
            let _ = write!(text, "\n    {}", Resolver::action_line(action));
        }
        if let Err(rule) = broken {
            let _ = write!(text, "\n{rule}");
        }
        text
    }
}

/// Where this server is.
fn server(number: usize) -> SocketAddr {
    ([192, 0, 2, 1 + number as u8], 53).into()
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
