//! The search for one name: when its rounds run, and what the set is.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::config::{Config, StalePolicy};
use super::exchange::{Exchange, Outside, Owner, Progress};
use super::lookup::{Bench, Gain, Lookup};
use super::note::{Failure, Note};
use super::published::Published;
use super::round::{Outcome, Round, pause};
use super::server::{Origin, Server, Verdict};
use super::view::{View, add_missing, union};
use super::wire::Name;
use crate::dice::Dice;
use crate::time::Timestamp;

/// A name, the servers that are asked for it, and the set that came of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Search {
    pub(super) name: Name,
    pub(super) servers: BTreeMap<SocketAddr, Server>,
    dice: Dice,
    pub(super) activity: Activity,
    pub(super) rounds: u64,
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
    /// Whether the round under way has the name's answer from this server.
    fn has_heard(&self, server: SocketAddr) -> bool {
        match self {
            Self::Asking(round) => round.has_heard(server),
            Self::Resting { .. } | Self::Ended => false,
        }
    }
}

impl Search {
    /// Asks these servers for ever. The first round is due now.
    pub(super) fn new(name: Name, bootstrap: &[SocketAddr], dice: Dice, now: Timestamp) -> Self {
        let servers = bootstrap.iter().map(|address| (*address, Server::new(Origin::Bootstrap)));
        Self {
            name,
            servers: servers.collect(),
            dice,
            activity: Activity::Resting { earliest: now, next: now },
            rounds: 0,
            fruitless: 0,
            denials: 0,
            published: Published::Nothing,
        }
    }

    /// When it has something to do though nothing happens; `None` after the end.
    pub(super) fn due(&self, config: &Config) -> Option<Timestamp> {
        let due = match &self.activity {
            Activity::Resting { next, .. } => *next,
            Activity::Asking(round) => round.due(),
            Activity::Ended => return None,
        };
        Some(due.min(self.expiry(config)))
    }

    /// Starts the round, fires the attempts and ends the lookups that are due.
    pub(super) fn fire(&mut self, outside: &mut Outside<'_>) {
        self.expire(outside);
        match &mut self.activity {
            Activity::Resting { next, .. } if *next <= outside.now => self.start_round(outside),
            Activity::Resting { .. } | Activity::Ended => {}
            Activity::Asking(round) => {
                let now = outside.now;
                for (address, lookup) in round.lookups.iter_mut().filter(|(_, lookup)| lookup.due() <= now) {
                    let server = self.servers.get_mut(address).expect("a lookup's server is known");
                    lookup.fire(&mut Bench { server, outside });
                }
            }
        }
    }

    /// Hands an event to the exchange that it concerns, and publishes at once what it adds.
    pub(super) fn deliver(
        &mut self,
        owner: &Owner,
        outside: &mut Outside<'_>,
        event: impl FnOnce(&mut Exchange, &mut Outside<'_>) -> Progress,
    ) {
        let Activity::Asking(round) = &mut self.activity else { return };
        let lookup = round.lookups.get_mut(&owner.server).expect("an open socket belongs to a lookup");
        let server = self.servers.get_mut(&owner.server).expect("a lookup's server is known");
        let gain = lookup.with(&owner.subject, &mut Bench { server, outside }, event);
        self.add(owner.server, &gain, outside);
    }

    /// A hint that the set is of no use: the next round comes as soon as it may.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        if let Activity::Resting { earliest, next } = &mut self.activity {
            *next = (*earliest).max(now).min(*next);
        }
    }

    /// Goes on with the round as far as it goes without the world.
    pub(super) fn settle(&mut self, outside: &mut Outside<'_>) {
        if let Activity::Resting { next, .. } = self.activity
            && next <= outside.now
        {
            self.start_round(outside);
        }
        let Activity::Asking(round) = &mut self.activity else { return };
        while let Some((address, verdict)) = round.finished() {
            let server = self.servers.get_mut(&address).expect("a lookup's server is known");
            server.conclude(verdict, outside.config.query_interval, outside.now);
            match verdict {
                Verdict::Positive { .. } | Verdict::NotOffered | Verdict::Negative => {}
                Verdict::Refused => outside.note(failed(address, Failure::Refused, server)),
                Verdict::Failed(why) => outside.note(failed(address, why, server)),
            }
        }
        while let Some(address) = round.next(outside.config.max_dns_concurrency) {
            let server = self.servers.get_mut(&address).expect("a round asks known servers");
            let lookup = Lookup::start(address, &self.name, &mut Bench { server, outside });
            round.lookups.insert(address, lookup);
        }
        if round.is_over() {
            self.end_round(outside);
        }
    }

    /// Asks these servers too from now on, and those that were discovered before and are not among them no more.
    ///
    /// What a server said goes with it. A new one is asked in the round under way only while there is no set:
    /// else who names new ones again and again could put off the round's end, and every removal with it.
    pub(super) fn appoint(&mut self, discovered: &BTreeSet<SocketAddr>, outside: &mut Outside<'_>) {
        let is_dismissed = |(address, server): &(&SocketAddr, &Server)| {
            server.origin == Origin::Discovered && !discovered.contains(address)
        };
        let dismissed: Vec<_> =
            self.servers.iter().filter(is_dismissed).map(|(address, _)| *address).collect();
        for address in dismissed {
            self.servers.remove(&address);
            outside.plain.forget(address);
            outside.note(Note::ServerDismissed { server: address });
            if let Activity::Asking(round) = &mut self.activity {
                round.dismiss(address, outside);
            }
        }
        let is_first = self.published.is_nothing();
        for address in discovered {
            if self.servers.contains_key(address) {
                continue;
            }
            self.servers.insert(*address, Server::new(Origin::Discovered));
            outside.note(Note::ServerAppointed { server: *address });
            match &mut self.activity {
                Activity::Asking(round) if is_first => round.waiting.push_back(*address),
                Activity::Resting { earliest, .. } if is_first => *earliest = outside.now,
                Activity::Asking(_) | Activity::Resting { .. } | Activity::Ended => {}
            }
            self.hurry(outside.now);
        }
    }

    /// Closes everything, for good.
    pub(super) fn end(&mut self, outside: &mut Outside<'_>) {
        if let Activity::Asking(round) = &mut self.activity {
            round.lookups.values_mut().for_each(|lookup| lookup.close(outside));
        }
        self.activity = Activity::Ended;
    }

    fn start_round(&mut self, outside: &mut Outside<'_>) {
        self.rounds += 1;
        let round = Round::new(self.rounds, &self.servers, outside.now);
        outside.note(Note::RoundStarted { round: round.number, servers: round.planned() });
        self.activity = Activity::Asking(round);
    }

    /// Publishes what the round comes to, and decides when the next one starts.
    fn end_round(&mut self, outside: &mut Outside<'_>) {
        let Activity::Asking(round) = &self.activity else { return };
        let (number, outcome, tally) = (round.number, round.outcome(), round.tally());
        match outcome {
            Outcome::Positive { .. } => {
                self.fruitless = 0;
                self.denials = 0;
                self.lapse(outside);
                self.publish_union(outside);
            }
            Outcome::Negative { is_decided } => {
                self.fruitless = 0;
                self.accept_denial(is_decided, outside);
            }
            Outcome::Failed => {
                self.fruitless = self.fruitless.saturating_add(1);
                self.denials = 0;
            }
        }
        match outcome {
            Outcome::Positive { .. } => self.published.confirm(outside.now),
            Outcome::Negative { .. } | Outcome::Failed => self.published.doubt(outside.out),
        }
        let (now, config) = (outside.now, outside.config);
        let pause = pause(outcome, self.fruitless, self.published.is_nothing(), now, config);
        let next = now.after(pause).after(self.dice.up_to(config.jitter(pause)));
        self.activity = Activity::Resting { earliest: now.after(config.floor()), next };
        outside.note(Note::RoundEnded {
            round: number,
            positive: tally.positive,
            negative: tally.negative,
            failed: tally.failed,
            next,
        });
        self.expire(outside);
    }

    /// Every server that answered denies. What another one said before still counts; the last set is given up
    /// only when that was said often enough, or decidedly.
    fn accept_denial(&mut self, is_decided: bool, outside: &mut Outside<'_>) {
        if self.servers.values().any(|server| server.view.is_positive()) {
            self.denials = 0;
            return self.publish_union(outside);
        }
        self.denials = self.denials.saturating_add(1);
        if is_decided || self.denials >= outside.config.negative_confirmations {
            self.published.replace(Vec::new(), outside);
        }
    }

    fn lapse(&mut self, outside: &mut Outside<'_>) {
        for (address, server) in &mut self.servers {
            if server.lapse(outside.now) {
                outside.note(Note::Lapsed { server: *address });
            }
        }
    }

    /// When the stale set is given up: not while the round has backends, for it ends by confirming them.
    fn expiry(&self, config: &Config) -> Timestamp {
        match (config.stale, self.published.stale_since()) {
            (StalePolicy::KeepFor(span), Some(since)) if !self.has_heard_of_backends() => since.after(span),
            (StalePolicy::KeepFor(_) | StalePolicy::KeepForever, _) => Timestamp::NEVER,
        }
    }

    fn has_heard_of_backends(&self) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|(address, server)| self.activity.has_heard(*address) && server.view.is_positive())
    }

    /// Gives the stale set up, and with it what servers once said.
    fn expire(&mut self, outside: &mut Outside<'_>) {
        if outside.now < self.expiry(outside.config) {
            return;
        }
        for (address, server) in &mut self.servers {
            if !self.activity.has_heard(*address) {
                server.view = View::Unknown;
            }
        }
        self.published.replace(Vec::new(), outside);
    }

    /// Publishes what a server's answer adds, whatever the others still have to say.
    fn add(&mut self, address: SocketAddr, gain: &Gain, outside: &mut Outside<'_>) {
        let known = self.servers.get(&address).and_then(|server| server.view.catalogue());
        // Most events add nothing, and a copy of the set is dear.
        let Some(catalogue) = known.filter(|_| *gain != Gain::Nothing) else { return };
        let max = outside.config.max_backends;
        let mut set = self.published.set().to_vec();
        let has_grown = match gain {
            Gain::Nothing => false,
            Gain::Target(target) => add_missing(&mut set, catalogue.backends_of(target), max),
            Gain::Anything => add_missing(&mut set, catalogue.backends(), max),
        };
        if has_grown {
            self.published.replace(set, outside);
        }
    }

    fn publish_union(&mut self, outside: &mut Outside<'_>) {
        let views = self.servers.values().map(|server| &server.view);
        let (mut backends, excess) = union(views, outside.config.max_backends);
        if excess > 0 {
            outside.note(Note::LeftOut { backends: excess });
        }
        let held = self.published.hold(&backends, outside);
        add_missing(&mut backends, held.into_iter(), outside.config.max_backends);
        self.published.replace(backends, outside);
    }
}

fn failed(server: SocketAddr, why: Failure, known: &Server) -> Note {
    Note::ServerFailed { server, why, failures: known.failures() }
}
