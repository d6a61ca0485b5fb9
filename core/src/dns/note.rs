//! What a resolver tells about itself: facts for logs, probes and metrics, none of them a request.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use super::event::QueryId;
use crate::time::Timestamp;

/// A fact for logs and metrics, already done. Nothing breaks if nobody looks at it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Note {
    /// A round began: one pass over the servers.
    RoundStarted {
        /// Counts rounds from 1.
        round: u64,
        /// How many servers it will ask.
        servers: usize,
    },
    /// A question left for a server. An [`Ask`](super::Action::Ask) or
    /// [`OpenStream`](super::Action::OpenStream) follows.
    Asked {
        /// The socket or stream it uses.
        query: QueryId,
        /// Whom.
        server: SocketAddr,
        /// What.
        question: Question,
        /// How.
        channel: Channel,
        /// Which attempt at this question, from 1; one repeated without EDNS keeps its number.
        attempt: u8,
    },
    /// A question was answered, and the answer was accepted.
    Answered {
        /// The socket or stream it came from.
        query: QueryId,
        /// Who answered.
        server: SocketAddr,
        /// What was asked.
        question: Question,
        /// What the answer says.
        answer: Answer,
        /// From sending this attempt to this answer. Each attempt has a socket and an id of its own, so
        /// a repeated question does not blur it (Karn's problem does not arise).
        took: Duration,
    },
    /// A datagram, or a message on a stream, was passed over; its attempt stays open.
    Ignored {
        /// Where it came from.
        query: QueryId,
        /// Why.
        why: Mismatch,
    },
    /// A question found no usable answer. What the server said about it before stays.
    Unanswered {
        /// Who was asked.
        server: SocketAddr,
        /// What was asked.
        question: Question,
        /// Why.
        why: Failure,
    },
    /// A server's lookup failed as a whole. What it said before stays, unless it refused.
    ServerFailed {
        /// Which.
        server: SocketAddr,
        /// Why.
        why: Failure,
        /// How many lookups in a row have now failed.
        failures: u32,
    },
    /// A server proved not to know EDNS; it is asked without for an hour (RFC 6891 §7).
    EdnsRefused {
        /// Which.
        server: SocketAddr,
    },
    /// Records of an accepted answer were not used, or used with a doubt.
    Dropped {
        /// Who sent them.
        server: SocketAddr,
        /// How many.
        records: usize,
        /// Why.
        why: Unusable,
    },
    /// So many messages answered something else that somebody may be guessing; the question is asked again over a
    /// stream (RFC 5452 §9.3).
    Flooded {
        /// Whom the question went to.
        server: SocketAddr,
        /// What was asked.
        question: Question,
    },
    /// A server was discovered. It is asked from now on.
    ServerAppointed {
        /// Which.
        server: SocketAddr,
    },
    /// A server is not among those discovered any more. It and what it said are forgotten.
    ServerDismissed {
        /// Which.
        server: SocketAddr,
    },
    /// More servers were discovered than `max_dns_servers`: the best are asked.
    ServersLeftOut {
        /// How many are not.
        servers: usize,
    },
    /// A fact about the search for servers: not of the service, but of `resolver_service`.
    Discovery(Box<Note>),
    /// More backends than `max_backends`: the best were kept.
    LeftOut {
        /// How many are left out, at least: servers may name different ones.
        backends: usize,
    },
    /// A server failed for so long, while another answered, that what it said before lapsed.
    Lapsed {
        /// Which.
        server: SocketAddr,
    },
    /// Nobody confirms the published set any more. It is kept.
    Stale {
        /// When it was last confirmed.
        since: Timestamp,
    },
    /// A round is over.
    RoundEnded {
        /// Which.
        round: u64,
        /// Servers that gave backends.
        positive: usize,
        /// Servers that said that there are none.
        negative: usize,
        /// Servers that failed or refused.
        failed: usize,
        /// When the next one starts.
        next: Timestamp,
    },
}

/// What a server is asked: a name and the type of record wanted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Question {
    /// Lower case, fully qualified, with escapes in octal.
    pub name: Arc<str>,
    /// The type.
    pub kind: Kind,
}

/// A type of record that this resolver asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// The service's targets (RFC 2782).
    Srv,
    /// A target's IPv6 addresses (RFC 3596).
    Aaaa,
    /// A target's IPv4 addresses (RFC 1035).
    A,
}

/// How a question travels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Channel {
    /// One UDP datagram.
    Datagram,
    /// A TCP stream of its own.
    Stream,
}

/// What an accepted answer says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// So many usable records, good for `ttl`.
    Records {
        /// How many, after duplicates and unusable ones were dropped.
        count: usize,
        /// The shortest time to live on the way to them, at most seven days (RFC 8767 §4).
        ttl: Duration,
    },
    /// The name is an alias of another, which is asked next.
    Alias,
    /// The service is decidedly not available: a single SRV record with the target `.` (RFC 2782).
    NotOffered,
    /// There are none (RFC 2308).
    Negative {
        /// How long that may be remembered; `None` where the server did not say.
        ttl: Option<Duration>,
    },
    /// The datagram was cut; the question is asked again over a stream.
    Truncated,
}

/// Why a question found no answer, or a server none at all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// Nothing came in time.
    Timeout,
    /// Every attempt's socket failed.
    Unreachable,
    /// The stream was refused, reset, or closed too early.
    Stream,
    /// The message cannot be read, or contradicts itself.
    Malformed,
    /// It answers with a delegation instead of an answer (RFC 2308 §2.1).
    Lame,
    /// REFUSED: it does not serve this zone.
    Refused,
    /// Another error, by its number (RFC 6895 §2.3).
    Rcode(u16),
    /// It named targets, but no address of any could be had.
    NoAddress,
}

/// Why a message was passed over (RFC 5452 §9.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mismatch {
    /// No attempt is open there any more.
    Closed,
    /// Shorter than a header.
    TooShort,
    /// Not the id that was sent.
    Id,
    /// A query, not a response.
    NotResponse,
    /// Not opcode 0.
    Opcode,
    /// Not exactly one readable question.
    NoQuestion,
    /// Another name, type or class than asked.
    OtherQuestion,
}

/// Why records were not used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unusable {
    /// SRV records with port 0.
    PortZero,
    /// SRV records with the target `.` beside real ones.
    RootTarget,
    /// Addresses that nobody can be reached at: unspecified, multicast, broadcast.
    Address,
    /// Link-local addresses without a scope: used all the same, but they rarely work.
    LinkLocal,
    /// More targets, each port of a name counted, than `max_targets`.
    TooManyTargets,
    /// More addresses of one target and family than `max_backends`, or addresses of targets that come after
    /// as many of better ones.
    TooManyAddresses,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Srv => "SRV",
            Self::Aaaa => "AAAA",
            Self::A => "A",
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records { count, ttl } => write!(f, "{count} records for {ttl:?}"),
            Self::Alias => f.write_str("an alias"),
            Self::NotOffered => f.write_str("not offered"),
            Self::Negative { ttl: Some(ttl) } => write!(f, "none for {ttl:?}"),
            Self::Negative { ttl: None } => f.write_str("none"),
            Self::Truncated => f.write_str("truncated"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "time-out",
            Self::Unreachable => "unreachable",
            Self::Stream => "stream",
            Self::Malformed => "malformed",
            Self::Lame => "lame",
            Self::Refused => "refused",
            Self::Rcode(code) => return write!(f, "rcode {code}"),
            Self::NoAddress => "no address",
        })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::TooShort => "too short",
            Self::Id => "other id",
            Self::NotResponse => "no response",
            Self::Opcode => "other opcode",
            Self::NoQuestion => "no question",
            Self::OtherQuestion => "other question",
        })
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PortZero => "port zero",
            Self::RootTarget => "root target",
            Self::Address => "address",
            Self::LinkLocal => "link-local",
            Self::TooManyTargets => "too many targets",
            Self::TooManyAddresses => "too many addresses",
        })
    }
}
