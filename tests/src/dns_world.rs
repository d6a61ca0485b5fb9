//! A DNS world in virtual time: zones, servers with faults, and a network between them and the real
//! resolver machine.
//!
//! Every event checks what must always hold of the machine's actions; `DNS.md` §4.4 is quoted by number
//! in the assertion messages.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use qorb_core::dns::{Action, Config, Event, Note, QueryId, Resolver, SocketFailure};
use qorb_core::{Backend, Machine, Timestamp};

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
        let resolver =
            Resolver::new(SERVICE, bootstrap, config, bytes, now).expect("the test's configuration is valid");
        Self {
            resolver,
            now,
            sets: Vec::new(),
            notes: Vec::new(),
            asked: Vec::new(),
            opened: 0,
            latest: Vec::new(),
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
        self.is_over |= event == Event::ShutDown;
        self.handled += 1;
        // A copy of the state is dear, and what differs once differs always.
        let twin = self.handled.is_multiple_of(16).then(|| (self.resolver.clone(), event.clone()));
        self.resolver.handle(self.now, event, &mut out);
        if let Some((mut twin, event)) = twin {
            let mut again = Vec::new();
            twin.handle(self.now, event, &mut again);
            assert_eq!(
                (&out, &self.resolver),
                (&again, &twin),
                "invariant 1: same state, same event, same actions"
            );
        }
        assert!(out.len() <= self.most_actions, "invariant 2: {} actions after one event", out.len());
        assert!(!was_over || out.is_empty(), "L7: no output after the end");
        if let Some(deadline) = self.resolver.deadline() {
            assert!(
                deadline > self.now,
                "invariant 10 (C2): the deadline {deadline} is not after {}",
                self.now
            );
            assert!(!self.is_over, "invariant 10: no deadline after the end");
        } else {
            assert!(self.is_over, "invariant 10: a resolver always has a deadline");
        }
        for action in out.clone() {
            self.carry_out(action);
        }
        assert!(!self.is_over || self.sockets.is_empty(), "invariant 4: nothing is open after the end");
        self.latest = out;
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
                assert!(
                    self.sockets.remove(&query).is_some(),
                    "invariant 4: {query:?} forgotten but not open"
                );
                self.ids.remove(&query);
            }
            Action::Resolved(set) => {
                let keys: Vec<_> = set.iter().map(Backend::identity).collect();
                assert!(
                    keys.is_sorted() && keys.windows(2).all(|two| two[0] != two[1]),
                    "invariant 5: sorted"
                );
                let last = self.sets.last().map_or(&[][..], |(_, set)| set);
                assert_ne!(set, last, "invariant 5: only what differs");
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
        assert!(!clash, "invariant 14: id {id} is in use at {server}");
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

/// The service that worlds resolve.
pub const SERVICE: &str = "_echo._tcp.test.com.";

/// What a server knows: records by name and type.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    records: BTreeMap<(String, RecordType), Vec<Record>>,
    /// For how many of its targets an SRV answer carries the addresses.
    sent_along: usize,
    /// Whether negative answers carry a start of authority.
    has_authority: bool,
}

impl Zone {
    /// A zone of so many targets `echo00x.test.com.` with one IPv6 address each, port 8000 + x.
    pub fn of(targets: u16) -> Self {
        (1..=targets).fold(Self { has_authority: true, ..Self::default() }, Self::with_target)
    }

    /// The same and one more target.
    pub fn with_target(self, number: u16) -> Self {
        let target = format!("echo{number:03}.test.com.");
        let address = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, number]);
        self.with(SERVICE, 60, srv(0, 0, 8000 + number, &target)).with(&target, 60, host(address))
    }

    /// The same and one more record.
    pub fn with(mut self, owner: &str, ttl: u32, data: RData) -> Self {
        let key = (owner.to_lowercase(), data.record_type());
        self.records.entry(key).or_default().push(record(owner, ttl, data));
        self
    }

    /// The same, with the addresses of so many targets in an SRV answer.
    pub fn sending_along(mut self, targets: usize) -> Self {
        self.sent_along = targets;
        self
    }

    /// The same, without a start of authority in negative answers: dnsmasq's way.
    pub fn without_authority(mut self) -> Self {
        self.has_authority = false;
        self
    }

    /// The backends at the targets `with_target` made.
    pub fn backends(targets: impl IntoIterator<Item = u16>) -> Vec<String> {
        targets.into_iter().map(|number| format!("[fd00::{number:x}]:{}", 8000 + number)).collect()
    }

    /// What this zone has to say.
    pub fn answer(&self, asked: &Asked) -> Message {
        let mut message = asked.answer();
        let (mut name, kind) = asked.question();
        for _ in 0..8 {
            let Some([alias]) = self.records.get(&(name.clone(), RecordType::CNAME)).map(Vec::as_slice)
            else {
                break;
            };
            message.add_answer(alias.clone());
            if let RData::CNAME(target) = &alias.data {
                name = target.0.to_lowercase().to_ascii();
            }
        }
        let found = self.records.get(&(name.clone(), kind)).cloned().unwrap_or_default();
        if found.is_empty() {
            let exists = self.records.keys().any(|(owner, _)| *owner == name);
            message.metadata.response_code =
                if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
            if self.has_authority {
                message.add_authority(record("test.com.", 60, soa(30)));
            }
        }
        for record in found.iter().take(self.sent_along) {
            if let RData::SRV(service) = &record.data {
                let target = service.target.to_lowercase().to_ascii();
                for kind in [RecordType::AAAA, RecordType::A] {
                    message.add_additionals(
                        self.records.get(&(target.clone(), kind)).cloned().unwrap_or_default(),
                    );
                }
            }
        }
        message.add_answers(found);
        message
    }

    /// A server that knows this zone and behaves: what does not fit is truncated.
    pub fn server(self) -> impl FnMut(&Asked) -> Vec<Reply> {
        move |asked| {
            let message = self.answer(asked);
            let limit = asked.message.edns.as_ref().map_or(512, |edns| usize::from(edns.max_payload()));
            let bytes = message.to_vec().expect("a zone's answer encodes");
            if !asked.on_stream && bytes.len() > limit {
                let mut cut = asked.answer();
                cut.metadata.truncation = true;
                return asked.reply(&cut);
            }
            asked.reply(&message)
        }
    }
}

/// A record of class IN.
pub fn record(owner: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name(owner), ttl, data)
}

/// SRV data.
pub fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(target)))
}

/// AAAA or A data.
pub fn host(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

/// CNAME data.
pub fn alias(target: &str) -> RData {
    RData::CNAME(CNAME(name(target)))
}

/// NS data.
pub fn name_server(target: &str) -> RData {
    RData::NS(NS(name(target)))
}

/// SOA data with this negative time to live.
pub fn soa(minimum: u32) -> RData {
    RData::SOA(SOA::new(name("ns.test.com."), name("root.test.com."), 1, 2, 3, 4, minimum))
}

/// A fully qualified name.
pub fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a test's name is a name");
    name.set_fqdn(true);
    name
}

/// The message with its length before it, as it travels on a stream.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a message is below 64 KiB");
    [&length.to_be_bytes()[..], message].concat()
}

/// The identities of a set, for subset tests.
pub fn identities(set: &[Backend]) -> BTreeSet<(String, SocketAddr)> {
    set.iter().map(|backend| (backend.name.to_string(), backend.address)).collect()
}
