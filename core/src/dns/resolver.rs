//! The machine itself: when rounds run, and what is published.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::config::{Config, ConfigError, StalePolicy};
use super::event::{Action, Event, QueryId};
use super::exchange::{Exchange, Outside, Owner, Progress};
use super::ids::Sockets;
use super::lookup::{Bench, Gain, Lookup};
use super::note::{Failure, Mismatch, Note};
use super::published::Published;
use super::round::{Outcome, Round, pause};
use super::server::{Server, ServerStatus, Verdict};
use super::view::{View, add_missing, union};
use super::wire::{Name, normalize};
use crate::backend::Backend;
use crate::dice::Dice;
use crate::machine::Machine;
use crate::time::Timestamp;

/// Finds the backends of one service, and goes on finding them.
///
/// Additions are published as soon as an answer names them, removals at the end of a round in which
/// somebody answered. Whatever goes wrong, the last set stays. The first [`Event::Tick`] starts the first round.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Resolver {
    service: Name,
    pub(super) config: Config,
    pub(super) servers: BTreeMap<SocketAddr, Server>,
    sockets: Sockets<Owner>,
    dice: Dice,
    pub(super) now: Timestamp,
    pub(super) activity: Activity,
    rounds: u64,
    /// Rounds in a row without an answer.
    pub(super) fruitless: u32,
    /// Rounds in a row in which every server that answered denied that there are backends.
    pub(super) denials: u32,
    pub(super) published: Published,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Activity {
    Resting { earliest: Timestamp, next: Timestamp },
    Asking(Round),
    Ended,
}

impl Activity {
    /// Whether the round under way has the service's answer from this server.
    fn has_heard(&self, server: SocketAddr) -> bool {
        match self {
            Self::Asking(round) => round.has_heard(server),
            Self::Resting { .. } | Self::Ended => false,
        }
    }
}

impl Resolver {
    /// A resolver for `service`, a name such as `_http._tcp.example.com`, taken as fully qualified.
    ///
    /// `bootstrap` are the servers to ask. `seed` decides the ids of its messages and must come from a
    /// cryptographic generator: who can guess them can forge answers (RFC 5452).
    ///
    /// # Errors
    ///
    /// If the name cannot be one, no server is given, or a field of `config` would stall the resolver.
    pub fn new(
        service: &str,
        bootstrap: &[SocketAddr],
        config: Config,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, ConfigError> {
        if service.is_empty() || service == "." {
            return Err(ConfigError::EmptyName);
        }
        let service = normalize(service).ok_or(ConfigError::InvalidName)?;
        if bootstrap.is_empty() {
            return Err(ConfigError::NoServer);
        }
        config.check()?;
        let (first, _) = seed.split_first_chunk().expect("32 bytes hold 8");
        Ok(Self {
            service,
            config,
            servers: bootstrap.iter().map(|address| (*address, Server::new())).collect(),
            sockets: Sockets::new(seed),
            dice: Dice::Seeded(u64::from_le_bytes(*first)).fork(0),
            now,
            activity: Activity::Resting { earliest: now, next: now },
            rounds: 0,
            fruitless: 0,
            denials: 0,
            published: Published::Nothing,
        })
    }

    /// The name asked for: lower case, fully qualified.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What is known of each server, by address.
    pub fn servers(&self) -> impl Iterator<Item = ServerStatus> {
        self.servers.iter().map(|(address, server)| server.status(*address, self.now))
    }

    /// The latest set published, sorted by identity; empty before the first.
    #[must_use]
    pub fn set(&self) -> &[Backend] {
        self.published.set()
    }

    /// When the published set was last confirmed, if nobody confirms it any more.
    #[must_use]
    pub fn stale_since(&self) -> Option<Timestamp> {
        self.published.stale_since()
    }

    /// When the next round starts; `None` while one is under way, and after the end.
    #[must_use]
    pub fn next_round(&self) -> Option<Timestamp> {
        match &self.activity {
            Activity::Resting { next, .. } => Some(*next),
            Activity::Asking(_) | Activity::Ended => None,
        }
    }

    /// Starts the round, fires the attempts and ends the lookups that are due.
    fn fire(&mut self, out: &mut Vec<Action>) {
        self.expire(out);
        match &mut self.activity {
            Activity::Resting { next, .. } if *next <= self.now => self.start_round(out),
            Activity::Resting { .. } | Activity::Ended => {}
            Activity::Asking(round) => {
                let now = self.now;
                let mut outside = Outside { config: &self.config, sockets: &mut self.sockets, now, out };
                for (address, lookup) in round.lookups.iter_mut().filter(|(_, lookup)| lookup.due() <= now) {
                    let server = self.servers.get_mut(address).expect("a lookup's server is known");
                    lookup.fire(&mut Bench { server, outside: &mut outside });
                }
            }
        }
    }

    /// Applies the event, and publishes at once what it adds.
    fn apply(&mut self, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Tick | Event::ShutDown => {}
            Event::ResolveNow => self.hurry(),
            Event::Datagram(query, bytes) => {
                self.deliver(query, out, |exchange, outside| exchange.datagram(query, &bytes, outside));
            }
            Event::StreamOpened(query) => self.deliver(query, out, |exchange, outside| {
                exchange.opened(query, outside);
                Progress::Waiting
            }),
            Event::StreamBytes(query, bytes) => {
                self.deliver(query, out, |exchange, outside| exchange.bytes(query, &bytes, outside));
            }
            Event::StreamClosed(query) => {
                self.deliver(query, out, |exchange, outside| exchange.closed(outside))
            }
            Event::Failed(query, _) => {
                self.deliver(query, out, |exchange, outside| exchange.gone(query, outside));
            }
        }
    }

    fn deliver(
        &mut self,
        query: QueryId,
        out: &mut Vec<Action>,
        event: impl FnOnce(&mut Exchange, &mut Outside<'_>) -> Progress,
    ) {
        let owner = self.sockets.owner(query).cloned();
        let (Some((address, subject)), Activity::Asking(round)) = (owner, &mut self.activity) else {
            out.push(Action::Note(Note::Ignored { query, why: Mismatch::Closed }));
            return;
        };
        let lookup = round.lookups.get_mut(&address).expect("an open socket belongs to a lookup");
        let server = self.servers.get_mut(&address).expect("a lookup's server is known");
        let mut outside = Outside { config: &self.config, sockets: &mut self.sockets, now: self.now, out };
        let gain = lookup.with(&subject, &mut Bench { server, outside: &mut outside }, event);
        self.add(address, &gain, out);
    }

    /// A hint that the set is of no use: the next round comes as soon as it may.
    fn hurry(&mut self) {
        if let Activity::Resting { earliest, next } = &mut self.activity {
            *next = (*earliest).max(self.now).min(*next);
        }
    }

    /// Goes on with the round as far as it goes without the world.
    fn settle(&mut self, out: &mut Vec<Action>) {
        if let Activity::Resting { next, .. } = self.activity
            && next <= self.now
        {
            self.start_round(out);
        }
        let Activity::Asking(round) = &mut self.activity else { return };
        while let Some((address, verdict)) = round.finished() {
            let server = self.servers.get_mut(&address).expect("a lookup's server is known");
            server.conclude(verdict, self.config.query_interval, self.now);
            match verdict {
                Verdict::Positive { .. } | Verdict::NotOffered | Verdict::Negative => {}
                Verdict::Refused => out.push(failed(address, Failure::Refused, server)),
                Verdict::Failed(why) => out.push(failed(address, why, server)),
            }
        }
        let mut outside = Outside { config: &self.config, sockets: &mut self.sockets, now: self.now, out };
        while let Some(address) = round.next(self.config.max_dns_concurrency) {
            let server = self.servers.get_mut(&address).expect("a round asks known servers");
            let lookup = Lookup::start(address, &self.service, &mut Bench { server, outside: &mut outside });
            round.lookups.insert(address, lookup);
        }
        if round.is_over() {
            self.end_round(out);
        }
    }

    fn start_round(&mut self, out: &mut Vec<Action>) {
        self.rounds += 1;
        let round = Round::new(self.rounds, &self.servers, self.now);
        out.push(Action::Note(Note::RoundStarted { round: round.number, servers: round.planned() }));
        self.activity = Activity::Asking(round);
    }

    /// Publishes what the round comes to, and decides when the next one starts.
    fn end_round(&mut self, out: &mut Vec<Action>) {
        let Activity::Asking(round) = &self.activity else { return };
        let (number, outcome, tally) = (round.number, round.outcome(), round.tally());
        match outcome {
            Outcome::Positive { .. } => {
                self.fruitless = 0;
                self.denials = 0;
                self.lapse(out);
                self.publish_union(out);
            }
            Outcome::Negative { is_decided } => {
                self.fruitless = 0;
                self.accept_denial(is_decided, out);
            }
            Outcome::Failed => {
                self.fruitless = self.fruitless.saturating_add(1);
                self.denials = 0;
            }
        }
        match outcome {
            Outcome::Positive { .. } => self.published.confirm(self.now),
            Outcome::Negative { .. } | Outcome::Failed => self.published.doubt(out),
        }
        let is_first = self.published.is_nothing();
        let pause = pause(outcome, self.fruitless, is_first, self.now, &self.config);
        let next = self.now.after(pause).after(self.dice.up_to(self.config.jitter(pause)));
        self.activity = Activity::Resting { earliest: self.now.after(self.config.floor()), next };
        out.push(Action::Note(Note::RoundEnded {
            round: number,
            positive: tally.positive,
            negative: tally.negative,
            failed: tally.failed,
            next,
        }));
        self.expire(out);
    }

    /// Every server that answered denies. What another one said before still counts; the last set is given up
    /// only when that was said often enough, or decidedly.
    fn accept_denial(&mut self, is_decided: bool, out: &mut Vec<Action>) {
        if self.servers.values().any(|server| server.view.is_positive()) {
            self.denials = 0;
            return self.publish_union(out);
        }
        self.denials = self.denials.saturating_add(1);
        if is_decided || self.denials >= self.config.negative_confirmations {
            self.published.replace(Vec::new(), self.now, out);
        }
    }

    fn lapse(&mut self, out: &mut Vec<Action>) {
        for (address, server) in &mut self.servers {
            if server.lapse(self.now) {
                out.push(Action::Note(Note::Lapsed { server: *address }));
            }
        }
    }

    /// When the stale set is given up: not while the round has backends, for it ends by confirming them.
    fn expiry(&self) -> Timestamp {
        match (self.config.stale, self.stale_since()) {
            (StalePolicy::KeepFor(span), Some(since)) if !self.has_heard_of_backends() => since.after(span),
            (StalePolicy::KeepFor(_) | StalePolicy::KeepForever, _) => Timestamp::NEVER,
        }
    }

    fn has_heard_of_backends(&self) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|(address, server)| self.activity.has_heard(*address) && server.view.is_positive())
    }

    /// Gives the stale set up, and with it what servers once said.
    fn expire(&mut self, out: &mut Vec<Action>) {
        if self.now < self.expiry() {
            return;
        }
        for (address, server) in &mut self.servers {
            if !self.activity.has_heard(*address) {
                server.view = View::Unknown;
            }
        }
        self.published.replace(Vec::new(), self.now, out);
    }

    /// Publishes what a server's answer adds, whatever the others still have to say.
    fn add(&mut self, address: SocketAddr, gain: &Gain, out: &mut Vec<Action>) {
        let known = self.servers.get(&address).and_then(|server| server.view.catalogue());
        // Most events add nothing, and a copy of the set is dear.
        let Some(catalogue) = known.filter(|_| *gain != Gain::Nothing) else { return };
        let max = self.config.max_backends;
        let mut set = self.set().to_vec();
        let has_grown = match gain {
            Gain::Nothing => false,
            Gain::Target(target) => add_missing(&mut set, catalogue.backends_of(target), max),
            Gain::Anything => add_missing(&mut set, catalogue.backends(), max),
        };
        if has_grown {
            self.published.replace(set, self.now, out);
        }
    }

    fn publish_union(&mut self, out: &mut Vec<Action>) {
        let views = self.servers.values().map(|server| &server.view);
        let (backends, excess) = union(views, self.config.max_backends);
        if excess > 0 {
            out.push(Action::Note(Note::LeftOut { backends: excess }));
        }
        self.published.replace(backends, self.now, out);
    }

    /// Closes everything, for good.
    fn end(&mut self, out: &mut Vec<Action>) {
        if let Activity::Asking(round) = &mut self.activity {
            let mut outside =
                Outside { config: &self.config, sockets: &mut self.sockets, now: self.now, out };
            round.lookups.values_mut().for_each(|lookup| lookup.close(&mut outside));
        }
        self.activity = Activity::Ended;
    }
}

impl Machine for Resolver {
    type Event = Event;
    type Action = Action;

    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Vec<Action>) {
        self.now = self.now.max(now);
        if self.activity == Activity::Ended {
            return;
        }
        if event == Event::ShutDown {
            return self.end(out);
        }
        if matches!(event, Event::Failed(..)) {
            // The socket is gone already: a timer due now must not ask to forget it.
            self.apply(event, out);
            self.fire(out);
            return self.settle(out);
        }
        let source = event.query().map(|query| (query, self.sockets.serial(query)));
        self.fire(out);
        self.settle(out);
        match source {
            // A timer closed it just now; its number may already stand for another.
            Some((query, serial)) if self.sockets.serial(query) != serial => {
                out.push(Action::Note(Note::Ignored { query, why: Mismatch::Closed }));
            }
            Some(_) | None => self.apply(event, out),
        }
        self.settle(out);
    }

    fn deadline(&self) -> Option<Timestamp> {
        let due = match &self.activity {
            Activity::Resting { next, .. } => *next,
            Activity::Asking(round) => round.due(),
            Activity::Ended => return None,
        };
        Some(due.min(self.expiry())).filter(|due| !due.is_never())
    }
}

fn failed(server: SocketAddr, why: Failure, known: &Server) -> Action {
    Action::Note(Note::ServerFailed { server, why, failures: known.failures() })
}
