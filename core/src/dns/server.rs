//! One server that is asked: how it has been, and what it last said.

use alloc::collections::BTreeMap;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use super::config::Config;
use super::note::Failure;
use super::view::{Catalogue, View};
use crate::time::Timestamp;

/// How long a server that does not know EDNS is asked without.
const PLAIN_FOR: Duration = Duration::from_secs(60 * 60);

/// From so many failed lookups in a row on a server is only probed.
const PROBED_FROM: u32 = 3;

/// How long a server may fail, while others answer, before what it said lapses.
const LAPSES_AFTER: Duration = Duration::from_secs(10 * 60);

/// The longest that a failure may be remembered (RFC 9520 §3.2; RFC 2308 §7).
const LONGEST_REST: Duration = Duration::from_secs(5 * 60);

/// A server, as seen by the resolver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Server {
    pub(super) origin: Origin,
    pub(super) view: View,
    failures: u32,
    failing_since: Option<Timestamp>,
    pub(super) rests_until: Timestamp,
    last: Option<(Verdict, Timestamp)>,
}

/// Why a server is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// It was given; it is asked for ever.
    Bootstrap,
    /// `resolver_service` led to it; it is asked for as long as that is so.
    Discovered,
}

/// The servers that do not know EDNS, whatever they are asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct PlainServers {
    until: BTreeMap<SocketAddr, Timestamp>,
}

/// How one lookup went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It gave backends.
    Positive {
        /// When the first of what it said expires.
        refresh: Timestamp,
    },
    /// It said that the service is decidedly not available.
    NotOffered,
    /// It said that there are no records, or no addresses to them.
    Negative,
    /// It does not serve this zone.
    Refused,
    /// It gave no usable answer.
    Failed(Failure),
}

/// What a resolver knows of one server, for people and statistics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerStatus {
    /// Where it is.
    pub address: SocketAddr,
    /// Why it is asked.
    pub origin: Origin,
    /// How many lookups in a row have failed; a refusal is a failure.
    pub failures: u32,
    /// How its last lookup went and when that ended; `None` before the first.
    pub last: Option<(Verdict, Timestamp)>,
    /// What it last said, which outlives failed lookups.
    pub opinion: Opinion,
    /// When the list of targets that it named expires; `None` while it names none.
    pub until: Option<Timestamp>,
}

/// What a server last said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Opinion {
    /// Nothing yet, or it lapsed.
    Unknown,
    /// Targets, whose records have not expired.
    Fresh,
    /// Targets, whose records have expired. They are used until it says something else.
    Stale,
    /// That there are none.
    Negative,
    /// That it does not serve this zone.
    Refused,
}

impl Verdict {
    /// Whether the server said anything about the service.
    pub(super) fn is_answer(self) -> bool {
        match self {
            Self::Positive { .. } | Self::NotOffered | Self::Negative => true,
            Self::Refused | Self::Failed(_) => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Positive { .. } => f.write_str("backends"),
            Self::NotOffered => f.write_str("not offered"),
            Self::Negative => f.write_str("no backends"),
            Self::Refused => f.write_str("refused"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

impl Server {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            view: View::Unknown,
            failures: 0,
            failing_since: None,
            rests_until: Timestamp::EPOCH,
            last: None,
        }
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it may be asked: one that just reported an error is left alone for a while.
    pub(super) fn is_rested(&self, now: Timestamp) -> bool {
        self.rests_until <= now
    }

    /// Whether it has failed so often that it gets one question a round, until it answers.
    ///
    /// What waits for the round's end waits less for it then.
    pub(super) fn is_probed(&self) -> bool {
        self.failures_to_probe() == 0
    }

    /// How many more failures in a row lead there.
    pub(super) fn failures_to_probe(&self) -> u32 {
        PROBED_FROM.saturating_sub(self.failures)
    }

    /// Takes down how a lookup went.
    pub(super) fn conclude(&mut self, verdict: Verdict, longest_rest: Duration, now: Timestamp) {
        self.last = Some((verdict, now));
        match verdict {
            Verdict::Positive { .. } | Verdict::NotOffered | Verdict::Negative => {
                self.failures = 0;
                self.failing_since = None;
            }
            Verdict::Refused => {
                self.view = View::Refused;
                self.count_failure(now);
            }
            Verdict::Failed(why) => {
                self.count_failure(now);
                if is_error(why) {
                    let rest = backoff(self.failures).min(longest_rest).min(LONGEST_REST);
                    self.rests_until = now.after(rest);
                }
            }
        }
    }

    /// Drops what it said if it has failed for too long; true if that changed anything.
    pub(super) fn lapse(&mut self, now: Timestamp) -> bool {
        let lapses = self.lapses_at() <= now && self.view.catalogue().is_some();
        if lapses {
            self.view = View::Unknown;
        }
        lapses
    }

    /// When what it said lapses, should it go on failing.
    pub(super) fn lapses_at(&self) -> Timestamp {
        self.failing_since.map_or(Timestamp::NEVER, |since| since.after(LAPSES_AFTER))
    }

    pub(super) fn status(&self, address: SocketAddr, now: Timestamp) -> ServerStatus {
        let opinion = match &self.view {
            View::Unknown => Opinion::Unknown,
            View::Targets(catalogue) if now < catalogue.until() => Opinion::Fresh,
            View::Targets(_) => Opinion::Stale,
            View::NotOffered | View::Negative => Opinion::Negative,
            View::Refused => Opinion::Refused,
        };
        let until = self.view.catalogue().map(Catalogue::until);
        let (origin, failures, last) = (self.origin, self.failures, self.last);
        ServerStatus { address, origin, failures, last, opinion, until }
    }

    fn count_failure(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
    }
}

impl PlainServers {
    /// The payload size to advertise to this server; none if it is to be asked without EDNS.
    pub(super) fn payload(&self, server: SocketAddr, config: &Config, now: Timestamp) -> Option<u16> {
        config.edns_payload.filter(|_| self.until(server) <= now)
    }

    /// Until when this one is asked without.
    pub(super) fn until(&self, server: SocketAddr) -> Timestamp {
        self.until.get(&server).copied().unwrap_or(Timestamp::EPOCH)
    }

    pub(super) fn refused(&mut self, server: SocketAddr, now: Timestamp) {
        self.until.insert(server, now.after(PLAIN_FOR));
    }

    /// This one is not asked any more.
    pub(super) fn forget(&mut self, server: SocketAddr) {
        self.until.remove(&server);
    }
}

/// One second, doubling with every failure in a row, from 1.
pub(super) fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    Duration::from_secs(1 << doublings)
}

/// Whether the server itself reported trouble or talked nonsense: asking again at once is no help
/// (RFC 2308 §7). One that is merely silent may be back any time.
fn is_error(why: Failure) -> bool {
    match why {
        Failure::Malformed | Failure::Lame | Failure::Rcode(_) => true,
        Failure::Timeout | Failure::Unreachable | Failure::Stream | Failure::Refused | Failure::NoAddress => {
            false
        }
    }
}
