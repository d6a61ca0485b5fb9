//! One server's part in a round: the service's question, then the addresses that did not come along.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::answer::{self, Doubts, Reading, Targets};
use super::config::Config;
use super::exchange::{Exchange, Outside, Owner, Progress, Subject};
use super::note::{Failure, Kind, Note, Question, Unusable};
use super::server::{Server, Verdict};
use super::view::{Known, View};
use super::wire::{Message, Name};
use crate::dns::event::QueryId;
use crate::time::Timestamp;

/// The most questions under way at one server, whatever the configuration says: their ids have 16 bits.
const MOST_INFLIGHT: usize = 4096;

/// A lookup under way. What it learns goes straight into its server's view.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Lookup {
    server: SocketAddr,
    pub(super) deadline: Timestamp,
    pub(super) under_way: BTreeMap<Subject, Task>,
    pub(super) waiting: VecDeque<Subject>,
    pub(super) phase: Phase,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    /// The service's question is open.
    Service,
    /// Addresses are.
    Addresses {
        /// When the first record used expires.
        refresh: Timestamp,
        /// How many address questions found no answer.
        unanswered: usize,
    },
    /// Nothing is any more.
    Over(Verdict),
}

/// A question under way, and the aliases that led to it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Task {
    pub(super) exchange: Exchange,
    pub(super) followed: u8,
    pub(super) ttl: Duration,
}

/// What an event added to a server's view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Gain {
    /// No backend.
    Nothing,
    /// Perhaps backends at this target.
    Target(Name),
    /// Perhaps backends anywhere.
    Anything,
}

/// What a lookup works with.
#[derive(Debug)]
pub(super) struct Bench<'a, 'b> {
    pub(super) server: &'a mut Server,
    pub(super) outside: &'a mut Outside<'b>,
}

impl Lookup {
    /// Asks `server` for the service.
    pub(super) fn start(address: SocketAddr, service: &Name, bench: &mut Bench<'_, '_>) -> Self {
        let deadline = bench.outside.now.after(bench.outside.config.query_timeout);
        let mut lookup = Self {
            server: address,
            deadline,
            under_way: BTreeMap::new(),
            waiting: VecDeque::new(),
            phase: Phase::Service,
        };
        let question = Question { name: service.clone(), kind: Kind::Srv };
        lookup.ask(Subject::Service, question, 0, Duration::MAX, bench);
        lookup
    }

    /// How it went, once it is over.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self.phase {
            Phase::Over(verdict) => Some(verdict),
            Phase::Service | Phase::Addresses { .. } => None,
        }
    }

    /// Whether the service's answer is in.
    pub(super) fn has_heard(&self) -> bool {
        match self.phase {
            Phase::Service => false,
            Phase::Addresses { .. } | Phase::Over(_) => true,
        }
    }

    /// When it has something to do though nothing happens.
    pub(super) fn due(&self) -> Timestamp {
        self.under_way.values().map(|task| task.exchange.due()).fold(self.deadline, Timestamp::min)
    }

    /// Does what is due.
    pub(super) fn fire(&mut self, bench: &mut Bench<'_, '_>) {
        if self.deadline <= bench.outside.now {
            return self.expire(bench);
        }
        let now = bench.outside.now;
        let due = self.under_way.iter().filter(|(_, task)| task.exchange.due() <= now);
        let due: VecDeque<Subject> = due.map(|(subject, _)| subject.clone()).collect();
        for subject in due {
            // An earlier one of them may have ended the lookup.
            self.with(&subject, bench, Exchange::fire);
        }
    }

    /// Hands an event to the exchange that it concerns.
    pub(super) fn with(
        &mut self,
        subject: &Subject,
        bench: &mut Bench<'_, '_>,
        event: impl FnOnce(&mut Exchange, &mut Outside<'_>) -> Progress,
    ) -> Gain {
        let Some(task) = self.under_way.get_mut(subject) else { return Gain::Nothing };
        let gain = match event(&mut task.exchange, bench.outside) {
            Progress::Waiting => Gain::Nothing,
            Progress::EdnsRefused => {
                bench.outside.plain.refused(self.server, bench.outside.now);
                bench.outside.note(Note::EdnsRefused { server: self.server });
                Gain::Nothing
            }
            Progress::Answered { message, query, took } => {
                self.answered(subject, &message, query, took, bench)
            }
            Progress::Failed(why) => self.unanswered(subject, why, bench),
        };
        self.go_on(bench);
        gain
    }

    /// Closes everything; nothing follows.
    pub(super) fn close(&mut self, outside: &mut Outside<'_>) {
        self.waiting.clear();
        for task in self.under_way.values_mut() {
            task.exchange.close(outside);
        }
        self.under_way.clear();
    }

    /// The time is up: what came counts, what did not is asked again in the next round.
    fn expire(&mut self, bench: &mut Bench<'_, '_>) {
        while let Some((subject, mut task)) = self.under_way.pop_first() {
            task.exchange.close(bench.outside);
            self.give_up(&subject, task.exchange.question().clone(), Failure::Timeout, bench);
        }
        if let Phase::Addresses { unanswered, .. } = &mut self.phase {
            *unanswered += self.waiting.len();
        }
        self.waiting.clear();
        self.go_on(bench);
    }

    fn answered(
        &mut self,
        subject: &Subject,
        message: &Message,
        query: QueryId,
        took: Duration,
        bench: &mut Bench<'_, '_>,
    ) -> Gain {
        let Some(task) = self.under_way.get(subject) else { return Gain::Nothing };
        let question = task.exchange.question().clone();
        let (followed, alias_ttl) = (task.followed, task.ttl);
        let reading = answer::read(message, &question, followed).within(alias_ttl);
        if let Some(answer) = reading.summary() {
            let server = self.server;
            bench.outside.note(Note::Answered { query, server, question: question.clone(), answer, took });
        }
        if let Reading::Failed(why) = reading {
            return self.unanswered(subject, why, bench);
        }
        self.under_way.remove(subject);
        match (reading, subject) {
            (Reading::Failed(_), _) => Gain::Nothing,
            (Reading::Alias { next, ttl, followed }, subject) => {
                let next = Question { name: next, kind: question.kind };
                self.ask(subject.clone(), next, followed, ttl, bench);
                Gain::Nothing
            }
            (Reading::Targets(targets), _) => self.take_targets(targets, bench),
            (Reading::NotOffered { .. }, _) => {
                self.take_absence(View::NotOffered, Verdict::NotOffered, bench)
            }
            (Reading::Negative { .. }, Subject::Service) => {
                self.take_absence(View::Negative, Verdict::Negative, bench)
            }
            (Reading::Negative { ttl }, Subject::Target(target, kind)) => {
                let until =
                    bench.outside.now.after(bench.outside.config.address_life(ttl.unwrap_or_default()));
                let known = Known { found: BTreeSet::new(), until };
                bench.server.view.catalogue_mut().learn(target.clone(), *kind, known);
                Gain::Nothing
            }
            (Reading::Addresses { found, ttl, doubts }, Subject::Target(target, kind)) => {
                self.note_dropped(&doubts, bench);
                let excess = self.take_addresses(target.clone(), *kind, found, ttl, bench);
                self.note_excess(Unusable::TooManyAddresses, excess, bench);
                self.forget_excess(bench);
                Gain::Target(target.clone())
            }
            (Reading::Addresses { .. }, Subject::Service) => Gain::Nothing,
        }
    }

    /// The service's targets are known: what is not known of them is asked.
    fn take_targets(&mut self, targets: Targets, bench: &mut Bench<'_, '_>) -> Gain {
        let config = bench.outside.config;
        let now = bench.outside.now;
        self.note_dropped(&targets.doubts, bench);
        let mut services = targets.services;
        let excess = answer::keep_best(&mut services, config.max_targets);
        self.note_excess(Unusable::TooManyTargets, excess, bench);
        let until = now.after(config.life(targets.ttl));
        self.phase = Phase::Addresses { refresh: until, unanswered: 0 };
        let catalogue = bench.server.view.catalogue_mut();
        catalogue.replace_services(services, until);
        let mut came_along = BTreeSet::new();
        if config.trust_additional {
            let kept: BTreeSet<Name> = catalogue.targets().cloned().collect();
            let mut excess = 0;
            for ((target, kind), (found, ttl)) in targets.additional {
                if kept.contains(&target) && config.addresses.kinds().contains(&kind) {
                    came_along.insert((target.clone(), kind));
                    excess += self.take_addresses(target, kind, found, ttl, bench);
                }
            }
            self.note_excess(Unusable::TooManyAddresses, excess, bench);
        }
        let learnt = targets_to_ask(&bench.server.view, &came_along, config, now);
        learnt.used_until.into_iter().for_each(|until| self.refresh_by(until));
        self.waiting = learnt.missing;
        self.forget_excess(bench);
        Gain::Anything
    }

    /// Takes a target's addresses, no more than could be published; returns how many were left out.
    fn take_addresses(
        &mut self,
        target: Name,
        kind: Kind,
        found: BTreeSet<IpAddr>,
        ttl: Duration,
        bench: &mut Bench<'_, '_>,
    ) -> usize {
        let config = bench.outside.config;
        let until = bench.outside.now.after(config.address_life(ttl));
        self.refresh_by(until);
        let excess = found.len().saturating_sub(config.max_backends);
        // The lowest, which come first among equals there too.
        let found = found.into_iter().take(config.max_backends).collect();
        bench.server.view.catalogue_mut().learn(target, kind, Known { found, until });
        excess
    }

    /// Forgets addresses of which there are more, and better ones, than can be published.
    ///
    /// What is asked anew is left alone until that has an answer: else what is forgotten would depend on which
    /// answer comes first.
    fn forget_excess(&self, bench: &mut Bench<'_, '_>) {
        let max = bench.outside.config.max_backends;
        let View::Targets(catalogue) = &mut bench.server.view else { return };
        if catalogue.known_addresses() <= max {
            return;
        }
        let open: BTreeSet<&Subject> = self.under_way.keys().chain(&self.waiting).collect();
        let excess = catalogue
            .forget_beyond(max, |target, kind| open.contains(&Subject::Target(target.clone(), kind)));
        self.note_excess(Unusable::TooManyAddresses, excess, bench);
    }

    fn take_absence(&mut self, view: View, verdict: Verdict, bench: &mut Bench<'_, '_>) -> Gain {
        bench.server.view = view;
        self.phase = Phase::Over(verdict);
        Gain::Nothing
    }

    fn unanswered(&mut self, subject: &Subject, why: Failure, bench: &mut Bench<'_, '_>) -> Gain {
        if let Some(task) = self.under_way.remove(subject) {
            self.give_up(subject, task.exchange.question().clone(), why, bench);
        }
        Gain::Nothing
    }

    /// A question found no answer. For the service that is the end; a target keeps the addresses it had.
    fn give_up(&mut self, subject: &Subject, question: Question, why: Failure, bench: &mut Bench<'_, '_>) {
        bench.outside.note(Note::Unanswered { server: self.server, question, why });
        match (subject, &mut self.phase) {
            (Subject::Service, _) => {
                let verdict = if why == Failure::Refused { Verdict::Refused } else { Verdict::Failed(why) };
                self.phase = Phase::Over(verdict);
            }
            (Subject::Target(..), Phase::Addresses { unanswered, .. }) => *unanswered += 1,
            (Subject::Target(..), Phase::Service | Phase::Over(_)) => {}
        }
    }

    /// Asks what waits, as far as allowed, and ends when nothing is left.
    fn go_on(&mut self, bench: &mut Bench<'_, '_>) {
        let limit = bench.outside.config.max_inflight_per_server.min(MOST_INFLIGHT);
        while self.under_way.len() < limit {
            let Some(subject) = self.waiting.pop_front() else { break };
            if let Subject::Target(target, kind) = &subject {
                let question = Question { name: target.clone(), kind: *kind };
                self.ask(subject, question, 0, Duration::MAX, bench);
            }
        }
        let Phase::Addresses { refresh, unanswered } = self.phase else { return };
        if self.under_way.is_empty() {
            self.forget_excess(bench);
            let verdict = match (bench.server.view.is_positive(), unanswered) {
                (true, _) => Verdict::Positive { refresh },
                (false, 0) => Verdict::Negative,
                (false, _) => Verdict::Failed(Failure::NoAddress),
            };
            self.phase = Phase::Over(verdict);
        }
    }

    fn ask(
        &mut self,
        subject: Subject,
        question: Question,
        followed: u8,
        ttl: Duration,
        bench: &mut Bench<'_, '_>,
    ) {
        // What probes a server is what anybody can answer: whether it is there matters now, not how well it knows
        // the protocol.
        let is_probe = subject == Subject::Service && bench.server.is_probed();
        let outside = &mut *bench.outside;
        let payload = outside.plain.payload(self.server, outside.config, outside.now);
        let (payload, attempts) = if is_probe { (None, 1) } else { (payload, outside.config.attempts) };
        let owner = Owner { sought: outside.sought, server: self.server, subject: subject.clone() };
        let exchange = Exchange::start(owner, question, payload, attempts, outside);
        self.under_way.insert(subject, Task { exchange, followed, ttl });
    }

    fn refresh_by(&mut self, until: Timestamp) {
        if let Phase::Addresses { refresh, .. } = &mut self.phase {
            *refresh = until.min(*refresh);
        }
    }

    fn note_excess(&self, why: Unusable, excess: usize, bench: &mut Bench<'_, '_>) {
        if excess > 0 {
            self.note_dropped(&Doubts::from([(why, excess)]), bench);
        }
    }

    fn note_dropped(&self, doubts: &Doubts, bench: &mut Bench<'_, '_>) {
        for (why, records) in doubts {
            bench.outside.note(Note::Dropped { server: self.server, records: *records, why: *why });
        }
    }
}

/// Which (target, family) pairs have to be asked, and when those expire that need not be.
struct Missing {
    missing: VecDeque<Subject>,
    used_until: VecDeque<Timestamp>,
}

/// What came along just now is not asked, even if it is good for this moment only.
fn targets_to_ask(
    view: &View,
    came_along: &BTreeSet<(Name, Kind)>,
    config: &Config,
    now: Timestamp,
) -> Missing {
    let mut result = Missing { missing: VecDeque::new(), used_until: VecDeque::new() };
    let Some(catalogue) = view.catalogue() else { return result };
    for target in catalogue.targets() {
        for kind in config.addresses.kinds() {
            if came_along.contains(&(target.clone(), *kind)) {
                continue;
            }
            match catalogue.known(target, *kind) {
                Some(known) if now < known.until && known.found.is_empty() => {}
                Some(known) if now < known.until => result.used_until.push_back(known.until),
                Some(_) | None => result.missing.push_back(Subject::Target(target.clone(), *kind)),
            }
        }
    }
    result
}
