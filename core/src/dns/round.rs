//! One pass over the servers: whose turn it is, and how it went.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::config::Config;
use super::exchange::Outside;
use super::lookup::Lookup;
use super::server::{Server, Verdict, backoff};
use crate::time::Timestamp;

/// A round under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Round {
    /// Counts from 1.
    pub(super) number: u64,
    pub(super) waiting: VecDeque<SocketAddr>,
    pub(super) lookups: BTreeMap<SocketAddr, Lookup>,
    pub(super) verdicts: BTreeMap<SocketAddr, Verdict>,
}

/// What a round comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// At least one server gave backends.
    Positive {
        /// When the first record used expires.
        refresh: Timestamp,
    },
    /// Every server that answered knows of no backend.
    Negative {
        /// One of them said so in a way that needs no confirmation.
        is_decided: bool,
    },
    /// No server answered.
    Failed,
}

/// How many servers said what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub(super) positive: usize,
    pub(super) negative: usize,
    pub(super) failed: usize,
}

impl Round {
    /// Lines the servers up: fewest failures first, then in turn. One that reported an error is left
    /// out while it rests, unless that would leave nobody.
    pub(super) fn new(number: u64, servers: &BTreeMap<SocketAddr, Server>, now: Timestamp) -> Self {
        let nobody_rested = !servers.values().any(|server| server.is_rested(now));
        let mut line: Vec<(u32, SocketAddr)> = servers
            .iter()
            .filter(|(_, server)| nobody_rested || server.is_rested(now))
            .map(|(address, server)| (server.failures(), *address))
            .collect();
        let turn = usize::try_from(number % line.len().max(1) as u64).unwrap_or_default();
        line.rotate_left(turn);
        line.sort_by_key(|(failures, _)| *failures);
        let waiting = line.into_iter().map(|(_, address)| address).collect();
        Self { number, waiting, lookups: BTreeMap::new(), verdicts: BTreeMap::new() }
    }

    /// How many servers it will ask.
    pub(super) fn planned(&self) -> usize {
        self.waiting.len()
    }

    /// The server to ask next, if one more may be.
    pub(super) fn next(&mut self, concurrency: usize) -> Option<SocketAddr> {
        if self.lookups.len() < concurrency { self.waiting.pop_front() } else { None }
    }

    /// Takes a finished lookup out.
    pub(super) fn finished(&mut self) -> Option<(SocketAddr, Verdict)> {
        let (address, verdict) =
            self.lookups.iter().find_map(|(address, lookup)| Some((*address, lookup.verdict()?)))?;
        self.lookups.remove(&address);
        self.verdicts.insert(address, verdict);
        Some((address, verdict))
    }

    /// Goes on without this server, as if it had never been asked.
    pub(super) fn dismiss(&mut self, server: SocketAddr, outside: &mut Outside<'_>) {
        self.waiting.retain(|waiting| *waiting != server);
        self.verdicts.remove(&server);
        if let Some(mut lookup) = self.lookups.remove(&server) {
            lookup.close(outside);
        }
    }

    /// Whether this server's answer for the service is in, its lookup finished or not.
    pub(super) fn has_heard(&self, server: SocketAddr) -> bool {
        self.lookups.get(&server).is_some_and(Lookup::has_heard)
            || self.verdicts.get(&server).is_some_and(|verdict| verdict.is_answer())
    }

    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.lookups.is_empty()
    }

    /// When a lookup has something to do though nothing happens.
    pub(super) fn due(&self) -> Timestamp {
        self.lookups.values().map(Lookup::due).fold(Timestamp::NEVER, Timestamp::min)
    }

    pub(super) fn outcome(&self) -> Outcome {
        let refresh = self.verdicts.values().filter_map(|verdict| match verdict {
            Verdict::Positive { refresh } => Some(*refresh),
            Verdict::NotOffered | Verdict::Negative | Verdict::Refused | Verdict::Failed(_) => None,
        });
        match refresh.min() {
            Some(refresh) => Outcome::Positive { refresh },
            None if self.verdicts.values().any(|verdict| verdict.is_answer()) => Outcome::Negative {
                is_decided: self.verdicts.values().any(|verdict| *verdict == Verdict::NotOffered),
            },
            None => Outcome::Failed,
        }
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for verdict in self.verdicts.values() {
            match verdict {
                Verdict::Positive { .. } => tally.positive += 1,
                Verdict::NotOffered | Verdict::Negative => tally.negative += 1,
                Verdict::Refused | Verdict::Failed(_) => tally.failed += 1,
            }
        }
        tally
    }
}

/// How long to wait after a round, before jitter.
///
/// `fruitless` rounds in a row had no answer, this one included; `is_first` while nothing was published.
pub(super) fn pause(
    outcome: Outcome,
    fruitless: u32,
    is_first: bool,
    now: Timestamp,
    config: &Config,
) -> Duration {
    let floor = config.floor();
    let retry = config.query_retry_if_no_records_found;
    match (outcome, is_first) {
        (Outcome::Positive { refresh }, _) => refresh.since(now).clamp(floor, config.query_interval),
        (Outcome::Negative { .. }, true) => retry,
        (Outcome::Negative { .. }, false) => retry.max(floor),
        (Outcome::Failed, true) => backoff(fruitless).min(retry),
        (Outcome::Failed, false) => backoff(fruitless).clamp(floor, config.query_interval),
    }
}
