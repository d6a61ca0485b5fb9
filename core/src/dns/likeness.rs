//! Which states of a resolver behave alike, whatever the time is and however its sockets are numbered.
//!
//! What is left out has to be argued. Times count from now, in whole steps of the clock of an embedder that
//! comes at no other times: what is due between two of them happens at the later one. Socket numbers
//! and message ids are only names, and so is when an attempt was sent, which nothing but a note tells. What the
//! numbers of rounds and of failures decide is in which order servers are asked, which is no matter where all are
//! asked together; beyond that, failures make a pause longer and bring on the probes, and both are left in. What a
//! server's last verdict was is told to people alone, and dice that decide about no jitter decide about nothing. How
//! many datagrams answered something else decides after a hundred of them, and then for a stream, as a cut answer
//! does: an embedder that brings a few is told enough.

use core::hash::{Hash, Hasher};
use core::time::Duration;

use super::config::StalePolicy;
use super::exchange::{Exchange, Stage};
use super::lookup::{Lookup, Phase, Task};
use super::published::Published;
use super::resolver::Resolver;
use super::round::Round;
use super::search::Activity;
use super::server::{Server, Verdict, backoff};
use super::view::View;
use crate::digest::Digest;
use crate::time::{Timestamp, nanos};

/// Folds whatever can be hashed into a digest, word by word.
struct Words(Digest);

/// How far times are ahead, in steps of the embedder's clock.
#[derive(Clone, Copy)]
struct Clock {
    now: Timestamp,
    step: u64,
}

impl Clock {
    /// How many steps until then; 0 once it has passed.
    fn left(self, at: Timestamp) -> u64 {
        if at.is_never() { u64::MAX } else { nanos(at.since(self.now)).div_ceil(self.step) }
    }

    fn steps(self, span: Duration) -> u64 {
        nanos(span).div_ceil(self.step)
    }
}

impl Resolver {
    /// A number that is equal for states that behave alike, to an embedder whose clock goes in steps of `step`.
    ///
    /// # Panics
    ///
    /// Panics where `step` is zero, or not all servers are asked together, or there is jitter: states that
    /// differ in what is left out do not behave alike then.
    #[must_use]
    pub fn likeness(&self, step: Duration) -> u128 {
        let (config, search) = (&self.config, &self.backends);
        assert!(self.discovery.is_none(), "all servers are known");
        assert!(config.max_dns_concurrency >= search.servers.len(), "all servers are asked together");
        assert_eq!(config.jitter_percent, 0, "rounds begin when they are due");
        let clock = Clock { now: self.now, step: nanos(step) };
        let mut digest = Digest::EMPTY;
        match &search.activity {
            Activity::Resting { earliest, next } => {
                digest.push(1);
                digest.push(clock.left(*earliest));
                digest.push(clock.left(*next));
            }
            Activity::Asking(round) => {
                digest.push(2);
                round.describe(clock, &mut digest);
            }
            Activity::Ended => return digest.finish(),
        }
        for (address, server) in &search.servers {
            server.describe(clock, &mut digest);
            digest.push(clock.left(self.plain.until(*address)));
        }
        let longest = config.query_interval.max(config.query_retry_if_no_records_found);
        digest.push(clock.steps(backoff(search.fruitless.saturating_add(1)).min(longest)));
        digest.push(search.denials.min(config.negative_confirmations).into());
        match &search.published {
            Published::Nothing => digest.push(0),
            Published::Set { backends, confirmed, freshness, vanished } => {
                digest.push(1 + *freshness as u64);
                push(&mut digest, backends);
                for (backend, since) in vanished {
                    push(&mut digest, backend);
                    digest.push(clock.left(since.after(config.removal_hold)));
                }
                if let StalePolicy::KeepFor(span) = config.stale {
                    digest.push(clock.left(confirmed.after(span)));
                }
            }
        }
        digest.finish()
    }
}

impl Round {
    fn describe(&self, clock: Clock, digest: &mut Digest) {
        push(digest, &self.waiting);
        digest.push(self.lookups.len() as u64);
        for (server, lookup) in &self.lookups {
            push(digest, server);
            lookup.describe(clock, digest);
        }
        for (server, verdict) in &self.verdicts {
            push(digest, server);
            digest.push(match verdict {
                Verdict::Positive { refresh } => 8 + clock.left(*refresh).min(u64::MAX / 2),
                Verdict::NotOffered => 1,
                Verdict::Negative => 2,
                // Which error it was is over and noted; the pause that follows from it is the server's.
                Verdict::Refused | Verdict::Failed(_) => 3,
            });
        }
    }
}

impl Lookup {
    fn describe(&self, clock: Clock, digest: &mut Digest) {
        digest.push(clock.left(self.deadline));
        push(digest, &self.waiting);
        match self.phase {
            Phase::Service => digest.push(0),
            Phase::Addresses { refresh, unanswered } => {
                digest.push(1 + u64::from(unanswered > 0));
                digest.push(clock.left(refresh));
            }
            Phase::Over(_) => digest.push(3),
        }
        digest.push(self.under_way.len() as u64);
        for (subject, Task { exchange, followed, ttl }) in &self.under_way {
            push(digest, subject);
            digest.push(u64::from(*followed));
            digest.push(clock.steps(*ttl));
            exchange.describe(clock, digest);
        }
    }
}

impl Exchange {
    fn describe(&self, clock: Clock, digest: &mut Digest) {
        push(digest, &self.question);
        push(digest, &self.payload);
        digest.push(self.attempts.into());
        match &self.stage {
            Stage::Datagrams { open, sent, due } => {
                digest.push(clock.left(*due) << 8 | u64::from(*sent));
                for attempt in open {
                    digest.push(u64::from(attempt.number));
                    push(digest, &attempt.payload);
                }
                digest.push(0);
            }
            Stage::Opening(attempt) => digest.push(1 << 63 | u64::from(attempt.number)),
            Stage::Reading { attempt, frames, foreign } => {
                digest.push(1 << 62 | u64::from(*foreign) << 8 | u64::from(attempt.number));
                push(digest, frames);
            }
            Stage::Over => digest.push(1 << 61),
        }
    }
}

impl Server {
    fn describe(&self, clock: Clock, digest: &mut Digest) {
        match &self.view {
            View::Unknown => digest.push(0),
            View::Targets(catalogue) => {
                digest.push(1);
                push(digest, &catalogue.services);
                // Until when the targets themselves are fresh is told to people alone.
                for (target, known) in &catalogue.addresses {
                    push(digest, &(target, &known.found));
                    digest.push(clock.left(known.until));
                }
                digest.push(0);
            }
            View::NotOffered => digest.push(2),
            View::Negative => digest.push(3),
            View::Refused => digest.push(4),
        }
        digest.push(clock.left(self.lapses_at()));
        digest.push(clock.left(self.rests_until));
        digest.push(self.failures_to_probe().into());
    }
}

/// Adds anything that can be hashed.
fn push(digest: &mut Digest, part: &impl Hash) {
    let mut words = Words(*digest);
    part.hash(&mut words);
    *digest = words.0;
}

impl Hasher for Words {
    fn finish(&self) -> u64 {
        self.0.finish() as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.push(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0.push(u64::from_le_bytes(word));
        }
    }
}
