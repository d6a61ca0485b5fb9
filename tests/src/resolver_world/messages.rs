//! All that the servers of a small world can say, encoded once.

use std::net::{IpAddr, Ipv6Addr};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::RecordType;

use super::Saying;
use crate::dns_world::{SERVICE, framed, host, name, record, srv};

/// The targets that there may be.
pub(super) const TARGETS: [&str; 2] = ["one.test.com.", "two.test.com."];
/// How long an answer about the service is good, in seconds: one step of time.
const SERVICE_LIFE: u32 = 300;
/// The same of an address that was asked for.
const ADDRESS_LIFE: u32 = 600;

/// The messages, by what is asked and what is said to it.
#[derive(Debug)]
pub(super) struct Messages(Vec<((Subject, Saying), Vec<u8>)>);

/// What is asked: for the service, or for a target's address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Subject {
    Service,
    Target(u8),
}

impl Subject {
    pub(super) fn of(name: &str) -> Self {
        let target = (0..).zip(TARGETS).find(|(_, target)| *target == name);
        target.map_or(Self::Service, |(number, _)| Self::Target(number))
    }
}

/// A target's one address.
pub(super) fn address(target: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1 + u16::from(target))
}

/// A target's port.
pub(super) fn port(target: u8) -> u16 {
    8001 + u16::from(target)
}

impl Messages {
    pub(super) fn new() -> Self {
        let subjects = [Subject::Service, Subject::Target(0), Subject::Target(1)];
        let all = subjects.into_iter().flat_map(|subject| {
            Saying::ALL.into_iter().filter_map(move |saying| {
                let message = message(subject, saying)?;
                let mut bytes = message.to_vec().expect("it encodes");
                if saying == Saying::Garbled {
                    bytes.truncate(bytes.len() - 3);
                }
                Some(((subject, saying), bytes))
            })
        });
        Self(all.collect())
    }

    /// What is said to a question with this id.
    pub(super) fn bytes(&self, subject: Subject, saying: Saying, id: u16, on_stream: bool) -> Vec<u8> {
        let known = self.0.iter().find(|(key, _)| *key == (subject, saying));
        let mut bytes = known.expect("it can be said to that").1.clone();
        let id = if saying == Saying::Foreign { !id } else { id };
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        if on_stream { framed(&bytes) } else { bytes }
    }
}

fn message(subject: Subject, saying: Saying) -> Option<Message> {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.metadata.authoritative = true;
    let (asked, kind) = match subject {
        Subject::Service => (SERVICE, RecordType::SRV),
        Subject::Target(number) => (TARGETS[usize::from(number)], RecordType::AAAA),
    };
    message.add_query(Query::query(name(asked), kind));
    let offer = |message: &mut Message, target: u8| {
        let data = srv(0, 0, port(target), TARGETS[usize::from(target)]);
        message.add_answer(record(SERVICE, SERVICE_LIFE, data));
    };
    let send_along = |message: &mut Message, target: u8, address: Ipv6Addr| {
        let data = host(IpAddr::V6(address));
        message.add_additional(record(TARGETS[usize::from(target)], SERVICE_LIFE, data));
    };
    match (subject, saying) {
        (Subject::Service, Saying::Both | Saying::Foreign | Saying::Cut | Saying::Garbled) => {
            for target in [0, 1] {
                offer(&mut message, target);
                send_along(&mut message, target, address(target));
            }
            message.metadata.truncation = saying == Saying::Cut;
        }
        (Subject::Service, Saying::Second) => {
            offer(&mut message, 1);
            send_along(&mut message, 1, address(1));
            // Nobody asked for that, and no target has that name.
            send_along(&mut message, 0, address(9));
        }
        (Subject::Service, Saying::Bare) => {
            offer(&mut message, 0);
            offer(&mut message, 1);
            send_along(&mut message, 1, address(1));
        }
        (Subject::Service, Saying::NotOffered) => {
            message.add_answer(record(SERVICE, SERVICE_LIFE, srv(0, 0, 0, ".")));
        }
        (Subject::Target(number), Saying::There) => {
            let data = host(IpAddr::V6(address(number)));
            message.add_answer(record(TARGETS[usize::from(number)], ADDRESS_LIFE, data));
        }
        (_, Saying::Nothing) => message.metadata.response_code = ResponseCode::NXDomain,
        (_, Saying::Trouble) => message.metadata.response_code = ResponseCode::ServFail,
        (_, Saying::Refused) => message.metadata.response_code = ResponseCode::Refused,
        (Subject::Service, Saying::There)
        | (
            Subject::Target(_),
            Saying::Both
            | Saying::Second
            | Saying::Bare
            | Saying::NotOffered
            | Saying::Cut
            | Saying::Garbled
            | Saying::Foreign,
        ) => return None,
    }
    Some(message)
}
