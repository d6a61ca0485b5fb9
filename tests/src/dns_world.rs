//! A DNS world in virtual time: zones, servers with faults, and a network between them and the real
//! resolver machine.
//!
//! Every event checks what must always hold of the machine's actions; `DNS.md` §4.4 is quoted by number
//! in the assertion messages.

mod zone;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::RecordType;
use qorb_core::dns::{Action, Beginning, Config, Event, Note, QueryId, Resolver, SocketFailure};
use qorb_core::record::{Recorded, Recorder};
use qorb_core::{Backend, Machine, Timestamp};

pub use zone::{SERVICE, Zone, alias, framed, host, identities, name, name_server, record, soa, srv};

/// How long anything takes in a world without faults, there and back.
pub const RTT: Duration = Duration::from_millis(1);

/// A question as it reached a server.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When.
    pub at: Timestamp,
    /// The socket or stream it came from.
    pub query: QueryId,
    /// Whom it was sent to.
    pub server: SocketAddr,
    /// Whether it came on a stream.
    pub on_stream: bool,
    /// What the server read.
    pub message: Message,
    /// The very bytes, without framing.
    pub bytes: Vec<u8>,
}

/// Something that a server, or the network before it, does some time after a question.
#[derive(Clone, Debug)]
pub struct Reply {
    after: Duration,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Datagram(Vec<u8>),
    StreamOpened,
    StreamBytes(Vec<u8>),
    StreamClosed,
    Failed(SocketFailure),
}

/// How a server takes connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connects {
    /// After one [`RTT`].
    Accepts,
    /// Nobody listens there.
    Refuses,
    /// Nothing ever comes back.
    Hangs,
}

type Answerer = Box<dyn FnMut(&Asked) -> Vec<Reply>>;

struct Server {
    connects: Connects,
    answers: Answerer,
}

/// The resolver, its servers, and what happened between them.
pub struct World {
    /// The machine.
    pub resolver: Resolver,
    /// The time.
    pub now: Timestamp,
    /// Every set published, and when.
    pub sets: Vec<(Timestamp, Vec<Backend>)>,
    /// Everything noted, and when.
    pub notes: Vec<(Timestamp, Note)>,
    /// Every question that reached a server.
    pub asked: Vec<Asked>,
    /// Every question, with or without a server, sent or connected: how many sockets were opened.
    pub opened: usize,
    /// All actions of the latest event.
    pub latest: Vec<Action>,
    beginning: Beginning,
    /// All that was told to the machine.
    told: Vec<(Timestamp, Event)>,
    servers: BTreeMap<SocketAddr, Server>,
    sockets: BTreeMap<QueryId, (SocketAddr, bool)>,
    ids: BTreeMap<QueryId, u16>,
    network: BTreeMap<(Timestamp, u64), (QueryId, u64, What)>,
    /// Tells sockets of the same number apart: what is under way to an old one must not reach a new one.
    generations: BTreeMap<QueryId, u64>,
    most_actions: usize,
    handled: u64,
    sequence: u64,
    is_over: bool,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}

impl Asked {
    /// The name and type asked for, as text.
    pub fn question(&self) -> (String, RecordType) {
        let query = &self.message.queries[0];
        (query.name().to_lowercase().to_ascii(), query.query_type())
    }

    /// This message, after one round trip.
    pub fn reply(&self, message: &Message) -> Vec<Reply> {
        vec![self.bytes(RTT, message.to_vec().expect("a test's message encodes"))]
    }

    /// These bytes of a message, framed where they travel on a stream.
    pub fn bytes(&self, after: Duration, bytes: Vec<u8>) -> Reply {
        if self.on_stream {
            self.raw(after, framed(&bytes))
        } else {
            Reply { after, what: What::Datagram(bytes) }
        }
    }

    /// These bytes as they are.
    pub fn raw(&self, after: Duration, bytes: Vec<u8>) -> Reply {
        let what = if self.on_stream { What::StreamBytes(bytes) } else { What::Datagram(bytes) };
        Reply { after, what }
    }

    /// The socket or stream fails.
    pub fn fails(&self, after: Duration, failure: SocketFailure) -> Reply {
        Reply { after, what: What::Failed(failure) }
    }

    /// The server closes the stream.
    pub fn closes(&self, after: Duration) -> Reply {
        Reply { after, what: What::StreamClosed }
    }

    /// An empty answer to this question, with EDNS if it had that.
    pub fn answer(&self) -> Message {
        let mut message = Message::new(self.message.metadata.id, MessageType::Response, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.authoritative = true;
        message.add_queries(self.message.queries.clone());
        if self.message.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(1232);
            message.set_edns(edns);
        }
        message
    }

    /// An answer that is nothing but an error.
    pub fn error(&self, code: ResponseCode) -> Message {
        let mut message = self.answer();
        message.metadata.response_code = code;
        message
    }
}

impl Reply {
    /// When it arrives.
    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// The content, if bytes arrive.
    pub fn content_mut(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.what {
            What::Datagram(bytes) | What::StreamBytes(bytes) => Some(bytes),
            What::StreamOpened | What::StreamClosed | What::Failed(_) => None,
        }
    }
}

impl World {
    /// A resolver for [`SERVICE`] in an empty world.
    pub fn new(bootstrap: &[SocketAddr], config: Config, seed: u64) -> Self {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let now = Timestamp::EPOCH;
        let most_actions = 32 + 8 * config.max_inflight_per_server * config.max_dns_concurrency;
        let (service, servers) = (SERVICE.to_owned(), bootstrap.to_vec());
        let beginning = Beginning { service, servers, config, seed: bytes, at: now };
        let resolver = Resolver::begin(beginning.clone()).expect("the test's configuration is valid");
        Self {
            resolver,
            now,
            sets: Vec::new(),
            notes: Vec::new(),
            asked: Vec::new(),
            opened: 0,
            latest: Vec::new(),
            beginning,
            told: Vec::new(),
            servers: BTreeMap::new(),
            sockets: BTreeMap::new(),
            ids: BTreeMap::new(),
            network: BTreeMap::new(),
            generations: BTreeMap::new(),
            most_actions,
            handled: 0,
            sequence: 0,
            is_over: false,
        }
    }

    /// Puts a server at `address`, in place of the one there. Where there is none, nothing comes back.
    pub fn serve(&mut self, address: SocketAddr, answers: impl FnMut(&Asked) -> Vec<Reply> + 'static) {
        let connects = self.servers.get(&address).map_or(Connects::Accepts, |server| server.connects);
        self.servers.insert(address, Server { connects, answers: Box::new(answers) });
    }

    /// How the server at `address` takes connections from now on.
    pub fn connects(&mut self, address: SocketAddr, connects: Connects) {
        self.servers.get_mut(&address).expect("a server is there").connects = connects;
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now.after(span);
        while self.step_until(end) {}
        self.now = end;
    }

    /// Lets the next thing happen; false if that is later than `end`.
    pub fn step_until(&mut self, end: Timestamp) -> bool {
        let arrival = self.network.keys().next().map(|(at, _)| *at);
        let deadline = self.resolver.deadline();
        let next = [arrival, deadline].into_iter().flatten().min();
        let Some(at) = next.filter(|at| *at <= end) else { return false };
        self.now = self.now.max(at);
        if arrival == Some(at) {
            let (_, (query, generation, what)) = self.network.pop_first().expect("just seen");
            self.arrive(query, generation, what);
        } else {
            self.handle(Event::Tick);
        }
        true
    }

    /// Hands an event to the machine, checks what must always hold, and carries the actions out.
    pub fn handle(&mut self, event: Event) {
        let mut out = Vec::new();
        let was_over = self.is_over;
        self.told.push((self.now, event.clone()));
        self.is_over |= event == Event::ShutDown;
        self.handled += 1;
        // A copy of the state is dear, and what differs once differs always.
        let twin = self.handled.is_multiple_of(16).then(|| (self.resolver.clone(), event.clone()));
        self.resolver.handle(self.now, event, &mut out);
        if let Some((mut twin, event)) = twin {
            let mut again = Vec::new();
            twin.handle(self.now, event, &mut again);
            assert_eq!((&out, &self.resolver), (&again, &twin), "I1: same state, same event, same actions");
        }
        assert!(out.len() <= self.most_actions, "I2: {} actions after one event", out.len());
        assert!(!was_over || out.is_empty(), "L7: no output after the end");
        if let Some(deadline) = self.resolver.deadline() {
            assert!(deadline > self.now, "I10 (C2): the deadline {deadline} is not after {}", self.now);
            assert!(!self.is_over, "I10: no deadline after the end");
        } else {
            assert!(self.is_over, "I10: a resolver always has a deadline");
        }
        for action in out.clone() {
            self.carry_out(action);
        }
        assert!(!self.is_over || self.sockets.is_empty(), "I4: nothing is open after the end");
        self.latest = out;
    }

    /// All that happened, as a log.
    pub fn log(&self) -> String {
        let told = self.told.iter().cloned();
        let recorder = Recorder::<Resolver>::retell(self.beginning.clone(), told);
        let recorder = recorder.expect("it began so before");
        recorder.log()
    }

    /// How many sockets and streams are open.
    pub fn open(&self) -> usize {
        self.sockets.len()
    }

    /// The sockets that are open, oldest number first.
    pub fn queries(&self) -> Vec<QueryId> {
        self.sockets.keys().copied().collect()
    }

    /// The addresses of the latest set, in order.
    pub fn addresses(&self) -> Vec<String> {
        self.resolver.set().iter().map(|backend| backend.address.to_string()).collect()
    }

    /// How many notes fit.
    pub fn count(&self, fits: impl Fn(&Note) -> bool) -> usize {
        self.notes.iter().filter(|(_, note)| fits(note)).count()
    }

    fn arrive(&mut self, query: QueryId, generation: u64, what: What) {
        let is_open = self.sockets.contains_key(&query) && self.generations.get(&query) == Some(&generation);
        if !is_open {
            return;
        }
        match what {
            What::Datagram(bytes) => self.handle(Event::Datagram(query, bytes)),
            What::StreamOpened => self.handle(Event::StreamOpened(query)),
            What::StreamBytes(bytes) => self.handle(Event::StreamBytes(query, bytes)),
            What::StreamClosed => self.handle(Event::StreamClosed(query)),
            What::Failed(failure) => {
                self.sockets.remove(&query);
                self.ids.remove(&query);
                self.handle(Event::Failed(query, failure));
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Ask { query, server, message } => {
                self.open_socket(query, server, false);
                self.deliver(query, server, message, false);
            }
            Action::OpenStream { query, server } => {
                self.open_socket(query, server, true);
                match self.servers.get(&server).map(|server| server.connects) {
                    Some(Connects::Accepts) => {
                        self.send(query, Reply { after: RTT, what: What::StreamOpened })
                    }
                    Some(Connects::Refuses) => {
                        let what = What::Failed(SocketFailure::Refused);
                        self.send(query, Reply { after: RTT, what });
                    }
                    Some(Connects::Hangs) | None => {}
                }
            }
            Action::Send(query, bytes) => {
                let (server, is_stream) = *self.sockets.get(&query).expect("what is written to is open");
                assert!(is_stream, "T9: only streams are written to");
                let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
                assert_eq!(bytes.len(), 2 + length, "T9: the length and the whole message in one write");
                self.deliver(query, server, bytes[2..].to_vec(), true);
            }
            Action::Forget(query) => {
                assert!(self.sockets.remove(&query).is_some(), "I4: {query:?} forgotten but not open");
                self.ids.remove(&query);
            }
            Action::Resolved(set) => {
                let keys: Vec<_> = set.iter().map(Backend::identity).collect();
                assert!(keys.is_sorted() && keys.windows(2).all(|two| two[0] != two[1]), "I5: sorted");
                let last = self.sets.last().map_or(&[][..], |(_, set)| set);
                assert_ne!(set, last, "I5: only what differs");
                self.sets.push((self.now, set));
            }
            Action::Note(note) => self.notes.push((self.now, note)),
        }
    }

    fn open_socket(&mut self, query: QueryId, server: SocketAddr, is_stream: bool) {
        let lowest = (0..).map(QueryId).find(|id| !self.sockets.contains_key(id));
        assert_eq!(Some(query), lowest, "a query's number is the lowest free one");
        self.sockets.insert(query, (server, is_stream));
        *self.generations.entry(query).or_default() += 1;
        self.opened += 1;
    }

    fn deliver(&mut self, query: QueryId, server: SocketAddr, bytes: Vec<u8>, on_stream: bool) {
        let message = Message::from_vec(&bytes).expect("the resolver's questions can be read");
        let id = message.metadata.id;
        let clash = self.ids.iter().any(|(other, used)| {
            *used == id && *other != query && self.sockets.get(other).map(|socket| socket.0) == Some(server)
        });
        assert!(!clash, "I14: id {id} is in use at {server}");
        self.ids.insert(query, id);
        let asked = Asked { at: self.now, query, server, on_stream, message, bytes };
        self.asked.push(asked.clone());
        let Some(server) = self.servers.get_mut(&server) else { return };
        for reply in (server.answers)(&asked) {
            self.send(query, reply);
        }
    }

    fn send(&mut self, query: QueryId, reply: Reply) {
        self.sequence += 1;
        let generation = self.generations.get(&query).copied().unwrap_or_default();
        self.network.insert((self.now.after(reply.after), self.sequence), (query, generation, reply.what));
    }
}
