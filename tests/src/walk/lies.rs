//! DNS servers that lie: with response codes, cut answers, loss, disorder, subsets and bytes of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use qorb_core::dice::Dice;

use super::sights::{Sight, Sights};
use crate::sim::World;
use crate::sim::net::{Reply, Welcome};

/// What is resolved.
pub(super) const SERVICE: &str = "_echo._tcp.test.com.";
/// All backends there are.
pub(super) const NAMES: [&str; 4] = ["n1.test.com.", "n2.test.com.", "n3.test.com.", "n4.test.com."];

/// For so many seconds a lie may be believed.
const LONGEST: u32 = 60;

const SERVERS: [&str; 2] = ["10.0.0.53:53", "10.0.1.53:53"];

/// Servers that tell the truth now and then.
#[derive(Clone, Debug)]
pub(super) struct Liar {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    /// So many of a hundred answers are lies.
    lies: u64,
    /// How many of the names lead to backends.
    known: usize,
    /// Whose hosts are in another network than in the beginning.
    moved: [bool; NAMES.len()],
    sights: Sights,
}

impl Liar {
    /// Servers in this world, for datagrams and streams.
    pub(super) fn new(world: &World, mut dice: Dice) -> Self {
        let lies = dice.below(80);
        let liar = Self {
            state: Arc::new(Mutex::new(State {
                dice,
                lies,
                known: 0,
                moved: [false; NAMES.len()],
                sights: Sights::default(),
            })),
        };
        for address in liar.servers() {
            let (udp, tcp, porter) = (liar.clone(), liar.clone(), liar.clone());
            world.admit_tcp(address, Box::new(move || porter.state().welcome()));
            world.serve_udp(address, Box::new(move |question| udp.state().datagrams(question)));
            world.serve_tcp(address, Box::new(move |sent| tcp.state().stream(sent)));
        }
        liar
    }

    pub(super) fn servers(&self) -> Vec<SocketAddr> {
        SERVERS.iter().map(|server| server.parse().expect("an address")).collect()
    }

    /// The first so many names are the backends now, the hosts of some in another network than before.
    pub(super) fn publish(&self, count: usize, moved: [bool; NAMES.len()]) {
        let mut state = self.state();
        (state.known, state.moved) = (count, moved);
    }

    /// The lies told so far.
    pub(super) fn told(&self) -> Sights {
        self.state().sights
    }

    /// From now on it is the truth.
    pub(super) fn repent(&self) {
        self.state().lies = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What comes back for a datagram: nothing, one, or more than one.
    fn datagrams(&mut self, question: &[u8]) -> Vec<Reply> {
        let answer = self.answer(question);
        let after = Duration::from_millis(1 + self.dice.below(20));
        if self.dice.below(100) >= self.lies {
            return vec![Reply::Bytes(after, answer)];
        }
        let much_later = after * 100;
        let (sight, replies) = match self.dice.below(6) {
            0 => (Sight::Lost, Vec::new()),
            1 => (Sight::Delayed, vec![Reply::Bytes(much_later, answer)]),
            2 => {
                let garbled = self.garbled(&answer);
                (Sight::Doubled, vec![Reply::Bytes(after, garbled), Reply::Bytes(much_later, answer)])
            }
            3 => (Sight::Hostile, vec![Reply::Bytes(after, self.garbled(&answer))]),
            4 => {
                let mut cut = answer;
                cut[2] |= 0x02;
                (Sight::Truncated, vec![Reply::Bytes(after, cut)])
            }
            _ => (Sight::Unreachable, vec![Reply::Broken(after, std::io::ErrorKind::ConnectionRefused)]),
        };
        self.sights.meet(sight);
        replies
    }

    /// Whether a stream is opened.
    fn welcome(&mut self) -> Welcome {
        if self.dice.below(200) >= self.lies {
            return Welcome::Accepted;
        }
        let refused = self.dice.below(2) == 0;
        self.sights.meet(if refused { Sight::StreamRefused } else { Sight::StreamHung });
        if refused { Welcome::Refused } else { Welcome::Lost }
    }

    /// What comes back on a stream, in pieces.
    fn stream(&mut self, sent: &[u8]) -> Vec<Reply> {
        let question = sent.get(2..).unwrap_or_default();
        let mut answer = self.answer(question);
        let lie = self.dice.below(100) < self.lies;
        if lie && self.dice.below(2) == 0 {
            self.sights.meet(Sight::StreamHostile);
            answer = self.garbled(&answer);
        }
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend(answer);
        if lie {
            let whole = framed.len();
            framed.truncate(self.dice.below(whole as u64 + 1) as usize);
            self.sights.meet_if(framed.len() < whole, Sight::StreamCut);
        }
        let piece = 1 + self.dice.below(100) as usize;
        let times = 1_u64..;
        let pieces = times.zip(framed.chunks(piece));
        let mut replies: Vec<_> =
            pieces.map(|(time, piece)| Reply::Bytes(Duration::from_millis(time), piece.to_vec())).collect();
        if lie {
            replies.push(Reply::End(Duration::from_millis(200)));
        }
        replies
    }

    /// The answer that names the backends, or, in a lie, some of them, for no time, or none.
    fn answer(&mut self, question: &[u8]) -> Vec<u8> {
        let asked = Message::from_vec(question).expect("the resolver asks what can be read");
        let query = asked.queries[0].clone();
        let mut message = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
        message.add_query(query.clone());
        let lie = self.dice.below(100) < self.lies;
        let codes =
            [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NXDomain, ResponseCode::NotImp];
        if lie && self.dice.below(3) == 0 {
            self.sights.meet(Sight::ResponseCode);
            message.metadata.response_code = codes[self.dice.below(codes.len() as u64) as usize];
            return message.to_vec().expect("it can be encoded");
        }
        let ttl = if lie { [0, 1, LONGEST][self.dice.below(3) as usize] } else { 30 };
        let name = |number: usize| Name::from_ascii(NAMES[number]).expect("a name");
        let count = if lie { self.dice.below(self.known as u64 + 1) as usize } else { self.known };
        self.sights.meet_if(ttl == 0, Sight::ZeroTtl);
        if query.query_type() == RecordType::SRV {
            self.sights.meet_if(count < self.known, Sight::Subset);
            for number in 0..count {
                let target = RData::SRV(SRV::new(0, 0, 4000, name(number)));
                message.add_answer(Record::from_rdata(query.name().clone(), ttl, target));
            }
        } else if query.query_type() == RecordType::A
            && let Some(number) = (0..NAMES.len()).find(|number| name(*number) == *query.name())
        {
            let host = RData::A(A(Ipv4Addr::new(10, 0, 2 + u8::from(self.moved[number]), number as u8)));
            message.add_answer(Record::from_rdata(query.name().clone(), ttl, host));
        }
        message.to_vec().expect("it can be encoded")
    }

    /// The same with some bytes changed, or cut off. A lie that is to be believed for a week would be, and the walk
    /// is over sooner.
    fn garbled(&mut self, bytes: &[u8]) -> Vec<u8> {
        loop {
            let garbled = self.changed(bytes);
            let message = Message::from_vec(&garbled);
            if message.is_ok_and(|message| message.answers.iter().any(|record| record.ttl > LONGEST)) {
                continue;
            }
            return garbled;
        }
    }

    fn changed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.dice.below(4) {
            let place = self.dice.below(bytes.len() as u64) as usize;
            bytes[place] = self.dice.draw() as u8;
        }
        if self.dice.below(2) == 0 {
            bytes.truncate(self.dice.below(bytes.len() as u64 + 1) as usize);
        }
        bytes
    }
}
