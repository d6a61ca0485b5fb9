//! What a decoded message says to the question that was asked: pure reading, no state.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::note::{Answer, Failure, Kind, Question, Unusable};
use super::wire::{Data, Message, Name, Record, is_ancestor, rcode};

/// RFC 8767 §4: what claims to live longer, lives seven days.
const MAX_TTL: u32 = 7 * 24 * 60 * 60;

/// Longer than this no absence is remembered (RFC 2308 §5 suggests one to three hours).
const MAX_NEGATIVE_TTL: u32 = 60 * 60;

/// The longest chain of aliases that is followed, over all messages of one question.
pub(super) const MAX_ALIASES: u8 = 8;

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// The service's targets, and the addresses that came along.
    Targets(Targets),
    /// A target's addresses, usable ones only: there may be none left.
    Addresses { found: BTreeSet<IpAddr>, ttl: Duration, doubts: Doubts },
    /// The service is decidedly not available (RFC 2782).
    NotOffered { ttl: Duration },
    /// The name stands for another, of which the message says nothing.
    Alias { next: Name, ttl: Duration, followed: u8 },
    /// There are no such records.
    Negative { ttl: Option<Duration> },
    /// It is no answer.
    Failed(Failure),
}

/// The content of an SRV answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Targets {
    pub(super) services: BTreeMap<Service, Rank>,
    pub(super) ttl: Duration,
    pub(super) additional: BTreeMap<(Name, Kind), (BTreeSet<IpAddr>, Duration)>,
    pub(super) doubts: Doubts,
}

/// How many records of an answer were not used, by reason.
pub(super) type Doubts = BTreeMap<Unusable, usize>;

/// Where a service is said to be: a target and a port.
pub(super) type Service = (Name, u16);

/// RFC 2782's order between services: the better one is the smaller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Rank {
    pub(super) priority: u16,
    weight: core::cmp::Reverse<u16>,
}

impl Rank {
    pub(super) fn new(priority: u16, weight: u16) -> Self {
        Self { priority, weight: core::cmp::Reverse(weight) }
    }

    pub(super) fn weight(self) -> u16 {
        self.weight.0
    }
}

impl Reading {
    /// The same, good for no longer than the aliases that led to it.
    pub(super) fn within(mut self, alias_ttl: Duration) -> Self {
        match &mut self {
            Self::Targets(Targets { ttl, .. })
            | Self::Addresses { ttl, .. }
            | Self::NotOffered { ttl }
            | Self::Alias { ttl, .. }
            | Self::Negative { ttl: Some(ttl) } => *ttl = alias_ttl.min(*ttl),
            Self::Negative { ttl: None } | Self::Failed(_) => {}
        }
        self
    }

    /// What it says, in short; `None` where it is no answer.
    pub(super) fn summary(&self) -> Option<Answer> {
        match self {
            Self::Targets(targets) => {
                Some(Answer::Records { count: targets.services.len(), ttl: targets.ttl })
            }
            Self::Addresses { found, ttl, .. } => Some(Answer::Records { count: found.len(), ttl: *ttl }),
            Self::NotOffered { .. } => Some(Answer::NotOffered),
            Self::Alias { .. } => Some(Answer::Alias),
            Self::Negative { ttl } => Some(Answer::Negative { ttl: *ttl }),
            Self::Failed(_) => None,
        }
    }
}

/// Reads what `message` says to `question`, after `followed` aliases in earlier messages.
pub(super) fn read(message: &Message, question: &Question, followed: u8) -> Reading {
    match message.rcode {
        rcode::NO_ERROR | rcode::NO_SUCH_NAME => {}
        rcode::REFUSED => return Reading::Failed(Failure::Refused),
        other => return Reading::Failed(Failure::Rcode(other)),
    }
    let chain = match follow(message, question, followed) {
        Ok(chain) => chain,
        Err(failure) => return Reading::Failed(failure),
    };
    let records: Vec<&Record> =
        of_owner(message, chain.end).filter(|record| is_kind(&record.data, question.kind)).collect();
    if records.is_empty() {
        return absent(message, question, &chain);
    }
    if message.rcode == rcode::NO_SUCH_NAME {
        return Reading::Failed(Failure::Malformed);
    }
    let ttl = records.iter().map(|record| record.ttl).fold(chain.ttl, u32::min);
    match question.kind {
        Kind::Srv => targets(message, &records, span(ttl)),
        Kind::Aaaa | Kind::A => {
            let mut doubts = Doubts::new();
            let found = usable(records.iter().filter_map(|record| address(&record.data)), &mut doubts);
            Reading::Addresses { found, ttl: span(ttl), doubts }
        }
    }
}

/// Where the aliases of a message lead.
struct Chain<'a> {
    end: &'a Name,
    ttl: u32,
    /// Aliases followed for this question so far, earlier messages included.
    followed: u8,
    /// Aliases followed in this message.
    here: u8,
}

/// Follows the aliases from the question's name, their records in any order (RFC 1034 §3.6.2).
fn follow<'a>(message: &'a Message, question: &'a Question, followed: u8) -> Result<Chain<'a>, Failure> {
    let mut aliases: BTreeMap<&str, (&Name, u32)> = BTreeMap::new();
    for record in &message.answers {
        if let Data::Alias(target) = &record.data {
            aliases.insert(&record.owner, (target, record.ttl));
        }
    }
    let mut chain = Chain { end: &question.name, ttl: u32::MAX, followed, here: 0 };
    while let Some((target, ttl)) = aliases.get(&**chain.end) {
        if chain.followed == MAX_ALIASES {
            return Err(Failure::Malformed);
        }
        chain = Chain {
            end: target,
            ttl: chain.ttl.min(*ttl),
            followed: chain.followed + 1,
            here: chain.here + 1,
        };
    }
    Ok(chain)
}

fn of_owner<'a>(message: &'a Message, owner: &'a Name) -> impl Iterator<Item = &'a Record> {
    message.answers.iter().filter(move |record| record.owner == *owner)
}

fn is_kind(data: &Data, kind: Kind) -> bool {
    match (data, kind) {
        (Data::Srv { .. }, Kind::Srv) => true,
        (Data::Address(address), Kind::Aaaa) => address.is_ipv6(),
        (Data::Address(address), Kind::A) => address.is_ipv4(),
        (Data::Srv { .. }, Kind::Aaaa | Kind::A)
        | (Data::Address(_), Kind::Srv)
        | (Data::Alias(_) | Data::Authority { .. } | Data::NameServer | Data::Other, _) => false,
    }
}

/// What it means that the records asked for are not there.
fn absent(message: &Message, question: &Question, chain: &Chain<'_>) -> Reading {
    // Records that fit nothing: the server is confused, and confusion is no absence.
    if chain.here == 0 && !message.answers.is_empty() {
        return Reading::Failed(Failure::Malformed);
    }
    let authority = message.authorities.iter().find_map(|record| match record.data {
        Data::Authority { minimum } if is_ancestor(&record.owner, chain.end) => Some(record.ttl.min(minimum)),
        Data::Authority { .. }
        | Data::Srv { .. }
        | Data::Address(_)
        | Data::Alias(_)
        | Data::NameServer
        | Data::Other => None,
    });
    let negative = Reading::Negative {
        ttl: authority.map(|ttl| Duration::from_secs(ttl.min(MAX_NEGATIVE_TTL).min(chain.ttl).into())),
    };
    if message.rcode == rcode::NO_SUCH_NAME || authority.is_some() {
        return negative;
    }
    if *chain.end != question.name {
        return Reading::Alias { next: chain.end.clone(), ttl: span(chain.ttl), followed: chain.followed };
    }
    let is_referral = !message.is_authoritative
        && !message.offers_recursion
        && message.authorities.iter().any(|record| record.data == Data::NameServer)
        && !message.authorities.iter().any(|record| matches!(record.data, Data::Authority { .. }));
    if is_referral { Reading::Failed(Failure::Lame) } else { negative }
}

fn targets(message: &Message, records: &[&Record], ttl: Duration) -> Reading {
    let mut services: BTreeMap<Service, Rank> = BTreeMap::new();
    let (mut roots, mut port_zero) = (0, 0);
    for record in records {
        let Data::Srv { priority, weight, port, target } = &record.data else { continue };
        match (&**target, *port) {
            (".", _) => roots += 1,
            (_, 0) => port_zero += 1,
            (_, port) => {
                let rank = Rank::new(*priority, *weight);
                services
                    .entry((target.clone(), port))
                    .and_modify(|known| *known = rank.min(*known))
                    .or_insert(rank);
            }
        }
    }
    if services.is_empty() {
        return if port_zero == 0 {
            Reading::NotOffered { ttl }
        } else {
            Reading::Failed(Failure::Malformed)
        };
    }
    let counted = [(Unusable::RootTarget, roots), (Unusable::PortZero, port_zero)];
    let mut doubts: Doubts = counted.into_iter().filter(|(_, count)| *count > 0).collect();
    let additional = additional(message, &services, &mut doubts);
    Reading::Targets(Targets { services, ttl, additional, doubts })
}

/// Keeps the best `max` by priority, then key; returns how many were left out.
pub(super) fn keep_best<Key: Ord>(ranks: &mut BTreeMap<Key, Rank>, max: usize) -> usize {
    let excess = ranks.len().saturating_sub(max);
    if excess > 0 {
        let mut order: Vec<(Key, Rank)> = core::mem::take(ranks).into_iter().collect();
        // Stable: by key within a priority.
        order.sort_by_key(|(_, rank)| rank.priority);
        order.truncate(max);
        *ranks = order.into_iter().collect();
    }
    excess
}

type Additional = BTreeMap<(Name, Kind), (BTreeSet<IpAddr>, Duration)>;

/// The addresses that came along for targets of this very message; nothing else there is believed
/// (RFC 2181 §5.4.1, RFC 5452 §6).
fn additional(message: &Message, services: &BTreeMap<Service, Rank>, doubts: &mut Doubts) -> Additional {
    let targets: BTreeSet<&str> = services.keys().map(|(target, _)| &**target).collect();
    let mut sets: BTreeMap<(Name, Kind), (Vec<IpAddr>, u32)> = BTreeMap::new();
    for record in &message.additionals {
        let Some(address) = address(&record.data).filter(|_| targets.contains(&*record.owner)) else {
            continue;
        };
        let kind = if address.is_ipv6() { Kind::Aaaa } else { Kind::A };
        let set = sets.entry((record.owner.clone(), kind)).or_insert((Vec::new(), u32::MAX));
        set.0.push(address);
        set.1 = set.1.min(record.ttl);
    }
    let mut kept = BTreeMap::new();
    for (key, (addresses, ttl)) in sets {
        let found = usable(addresses.into_iter(), doubts);
        if !found.is_empty() {
            kept.insert(key, (found, span(ttl)));
        }
    }
    kept
}

fn address(data: &Data) -> Option<IpAddr> {
    match data {
        Data::Address(address) => Some(*address),
        Data::Srv { .. } | Data::Alias(_) | Data::Authority { .. } | Data::NameServer | Data::Other => None,
    }
}

/// Normal forms of those addresses that somebody can be reached at.
fn usable(addresses: impl Iterator<Item = IpAddr>, doubts: &mut Doubts) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    for address in addresses.map(|address| address.to_canonical()) {
        let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let is_link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if address.is_unspecified() || address.is_multicast() || is_broadcast {
            *doubts.entry(Unusable::Address).or_default() += 1;
            continue;
        }
        if is_link_local {
            *doubts.entry(Unusable::LinkLocal).or_default() += 1;
        }
        found.insert(address);
    }
    found
}

fn span(ttl: u32) -> Duration {
    Duration::from_secs(ttl.min(MAX_TTL).into())
}
