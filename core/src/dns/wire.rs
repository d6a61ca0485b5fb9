//! Bytes to plain values and back: the only file that names hickory-proto.
//!
//! A message is read in three steps, each of which may be the last: the header (a truncated message may
//! be cut anywhere after it, and nothing is allocated for counts that lie), the question, the rest.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use hickory_proto::op::{Edns, Header as WireHeader, Message as WireMessage, MessageType, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name as WireName, RData, Record as WireRecord, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::note::{Kind, Question};

/// A domain name: lower case, fully qualified, anything unusual escaped in octal. Equal names are equal
/// texts.
pub(super) type Name = Arc<str>;

/// The most records of a message that are looked at.
const MAX_RECORDS: u32 = 4096;

/// Response codes by number (RFC 6895 §2.3): the names differ between the header's and the extended ones.
pub(super) mod rcode {
    pub(crate) const NO_ERROR: u16 = 0;
    pub(crate) const FORMAT_ERROR: u16 = 1;
    pub(crate) const SERVER_FAILURE: u16 = 2;
    pub(crate) const NO_SUCH_NAME: u16 = 3;
    pub(crate) const NOT_IMPLEMENTED: u16 = 4;
    pub(crate) const REFUSED: u16 = 5;
    pub(crate) const BAD_VERSION: u16 = 16;
}

/// The first twelve bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) is_response: bool,
    /// Opcode 0.
    pub(super) is_standard: bool,
    pub(super) is_truncated: bool,
    /// The header's four bits.
    pub(super) rcode: u16,
    pub(super) questions: u16,
    records: u32,
}

/// The question section of a message with exactly one question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Same,
    Other,
    Unreadable,
}

/// A whole message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// With the extension of EDNS, where there is one.
    pub(super) rcode: u16,
    pub(super) has_edns: bool,
    pub(super) is_authoritative: bool,
    pub(super) offers_recursion: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

/// A record, as far as a resolver is concerned.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) owner: Name,
    /// Seconds, as sent.
    pub(super) ttl: u32,
    pub(super) data: Data,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Data {
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name,
    },
    Address(IpAddr),
    Alias(Name),
    /// A start of authority and its negative time to live in seconds.
    Authority {
        minimum: u32,
    },
    NameServer,
    /// Another type, or a class other than IN.
    Other,
}

/// The message cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unreadable;

/// The name as text in our normal form; `None` where it is none.
pub(super) fn normalize(name: &str) -> Option<Name> {
    let mut parsed = WireName::from_ascii(name).ok()?;
    parsed.set_fqdn(true);
    // 255 bytes on the wire: each label's length byte and the root's.
    (parsed.len() <= 255 && !parsed.is_root()).then(|| text(&parsed))
}

/// Encodes one question: RD, opcode QUERY, class IN, and an OPT record where a payload size is advertised.
pub(super) fn encode_query(id: u16, question: &Question, edns_payload: Option<u16>) -> Vec<u8> {
    let mut message = WireMessage::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(parse(&question.name), record_type(question.kind)));
    if let Some(payload) = edns_payload {
        let mut edns = Edns::new();
        edns.set_version(0).set_max_payload(payload);
        message.set_edns(edns);
    }
    message.to_vec().expect("a single question with a valid name always fits")
}

/// Reads the header; `None` where there are fewer than twelve bytes.
pub(super) fn decode_header(bytes: &[u8]) -> Option<Header> {
    let header = WireHeader::read(&mut BinDecoder::new(bytes)).ok()?;
    let counts = header.counts;
    Some(Header {
        id: header.metadata.id,
        is_response: header.metadata.message_type == MessageType::Response,
        is_standard: header.metadata.op_code == OpCode::Query,
        is_truncated: header.metadata.truncation,
        rcode: u16::from(header.metadata.response_code),
        questions: counts.queries,
        records: [counts.answers, counts.authorities, counts.additionals].map(u32::from).iter().sum(),
    })
}

/// Compares the question of a message with exactly one to what was asked.
pub(super) fn compare_question(bytes: &[u8], question: &Question) -> Asked {
    let mut decoder = BinDecoder::new(bytes);
    let read = WireHeader::read(&mut decoder).and_then(|_| Query::read(&mut decoder));
    let Ok(read) = read else { return Asked::Unreadable };
    let same = read.query_class() == DNSClass::IN
        && read.query_type() == record_type(question.kind)
        && text(read.name()) == question.name;
    if same { Asked::Same } else { Asked::Other }
}

/// Reads a whole message. One bad record spoils it all.
pub(super) fn decode(header: &Header, bytes: &[u8]) -> Result<Message, Unreadable> {
    if header.records > MAX_RECORDS {
        return Err(Unreadable);
    }
    let message = WireMessage::from_vec(bytes).map_err(|_| Unreadable)?;
    Ok(Message {
        rcode: u16::from(message.metadata.response_code),
        has_edns: message.edns.is_some(),
        is_authoritative: message.metadata.authoritative,
        offers_recursion: message.metadata.recursion_available,
        answers: records(&message.answers),
        authorities: records(&message.authorities),
        additionals: records(&message.additionals),
    })
}

fn records(section: &[WireRecord]) -> Vec<Record> {
    section.iter().map(record).collect()
}

fn record(record: &WireRecord) -> Record {
    let data = if record.dns_class == DNSClass::IN { data(&record.data) } else { Data::Other };
    Record { owner: text(&record.name), ttl: record.ttl, data }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "record types are an open set, and not ours")]
fn data(data: &RData) -> Data {
    match data {
        RData::SRV(srv) => Data::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: text(&srv.target),
        },
        RData::A(address) => Data::Address(IpAddr::V4(address.0)),
        RData::AAAA(address) => Data::Address(IpAddr::V6(address.0)),
        RData::CNAME(target) => Data::Alias(text(&target.0)),
        RData::SOA(authority) => Data::Authority { minimum: authority.minimum },
        RData::NS(_) => Data::NameServer,
        _ => Data::Other,
    }
}

fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Srv => RecordType::SRV,
        Kind::Aaaa => RecordType::AAAA,
        Kind::A => RecordType::A,
    }
}

/// Names from the wire are fully qualified, so equal names have equal texts.
fn text(name: &WireName) -> Name {
    name.to_lowercase().to_ascii().into()
}

/// The inverse of [`text`]. hickory-proto's own reading of escapes knows no bytes above 127.
fn parse(name: &str) -> WireName {
    let mut labels: Vec<Vec<u8>> = Vec::new();
    let mut label = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'.' => labels.push(core::mem::take(&mut label)),
            b'\\' => label.push(unescape(&mut rest)),
            byte => label.push(byte),
        }
    }
    labels.retain(|label| !label.is_empty());
    let mut parsed = WireName::from_labels(labels.iter().map(Vec::as_slice))
        .expect("a name in normal form was a name on the wire or passed validation");
    parsed.set_fqdn(true);
    parsed
}

fn unescape(rest: &mut impl Iterator<Item = u8>) -> u8 {
    let first = rest.next().expect("an escape in normal form has a character");
    if !first.is_ascii_digit() {
        return first;
    }
    let digits =
        String::from_iter([Some(first), rest.next(), rest.next()].into_iter().flatten().map(char::from));
    u8::from_str_radix(&digits, 8).expect("a numeric escape in normal form is three octal digits")
}

/// Whether `zone` is `name` or above it, by whole labels.
pub(super) fn is_ancestor(zone: &str, name: &str) -> bool {
    if zone == "." || zone == name {
        return true;
    }
    // An escaped dot is preceded by a backslash, so that a plain one always ends a label.
    name.strip_suffix(zone).is_some_and(|below| below.ends_with('.') && !below.ends_with("\\."))
}
