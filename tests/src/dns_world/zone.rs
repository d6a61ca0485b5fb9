//! What servers know, and the records that it is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use qorb_core::Backend;

use super::{Asked, Reply};

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
