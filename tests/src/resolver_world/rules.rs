//! What has to hold on every edge, from what the servers said and nothing else.

use std::net::SocketAddr;

use qorb_core::dns::{Action, Note, QueryId};
use qorb_core::{Backend, Machine, Timestamp};

use super::messages::{Subject, TARGETS, address, port};
use super::verdicts::{Heard, Tally};
use super::{
    CONFIRMATIONS, LOOKUP, MOST_ASKED, ResolverWorld, STEP, Saying, Socket, Sometimes, Step, ensure, server,
};

/// How many actions one event may lead to: for two servers, up to three questions each, a note beside each,
/// and what a round says.
const MOST_ACTIONS: usize = 48;

impl ResolverWorld {
    /// Hands an event to the machine and carries out what it asks for, checking every rule.
    pub(super) fn step(&mut self, step: Step, seen: &mut Sometimes) -> Result<(), String> {
        let event = self.event(step);
        if step == Step::Tick {
            self.now = self.now.after(STEP);
            self.age += u32::from(self.asking);
        }
        let before = self.expected;
        let next = self.machine.next_round();
        self.part(step);
        self.believe(step, seen);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        self.machine.handle(self.now, event, &mut out);
        ensure(out.len() <= MOST_ACTIONS, || format!("I2: {} actions for one event", out.len()))?;
        if let Step::Failed(query) = step {
            self.open.retain(|socket| socket.query != query);
        }
        let carried = out.iter().try_for_each(|action| self.perform(action, before, seen));
        self.out = out;
        carried?;
        if step == Step::ShutDown {
            seen_if(seen, !self.open.is_empty() || self.out.iter().any(is_forget), "the end closes a socket");
            self.ended = true;
        }
        self.compare_told()?;
        if step == Step::Hint && self.machine.next_round() < next {
            seen.see("a hint hurries the next round");
        }
        let strays = matches!(step, Step::Stray | Step::Answer(_, Saying::Foreign));
        let noted = self.out.iter().all(|action| matches!(action, Action::Note(Note::Ignored { .. })));
        ensure(!strays || noted, || format!("I3: {step:?} has consequences"))?;
        self.check()
    }

    /// What the server is to be believed by this answer.
    fn believe(&mut self, step: Step, seen: &mut Sometimes) {
        let Step::Answer(query, saying) = step else { return };
        let socket = self.socket(query);
        seen_if(seen, socket.is_stream, "a stream answers");
        seen_if(seen, !self.is_latest(&socket), "an answer to an earlier attempt is used");
        let model = &mut self.servers[socket.server];
        match (socket.subject, saying) {
            (Subject::Service, Saying::Both | Saying::Second | Saying::Bare) => {
                model.part.says(Heard::Targets);
            }
            (Subject::Service, Saying::Nothing | Saying::NotOffered) => model.part.says(Heard::Denial),
            _ => {}
        }
        match (socket.subject, saying) {
            (_, Saying::Foreign | Saying::Cut | Saying::Garbled | Saying::Trouble) => return,
            (Subject::Service, Saying::Both) => (model.targets, model.found) = (3, 3),
            (Subject::Service, Saying::Second) => (model.targets, model.found) = (2, 2),
            (Subject::Service, Saying::Bare) => (model.targets, model.found) = (3, model.found | 2),
            (Subject::Target(target), Saying::There) => model.found |= 1 << target,
            (Subject::Target(target), Saying::Nothing) => model.found &= !(1 << target),
            (Subject::Service, Saying::Nothing | Saying::Refused | Saying::There) => {
                (model.targets, model.found) = (0, 0);
            }
            (Subject::Service, Saying::NotOffered) => {
                (model.targets, model.found) = (0, 0);
                self.decided = true;
            }
            (
                Subject::Target(_),
                Saying::Both | Saying::Second | Saying::Bare | Saying::NotOffered | Saying::Refused,
            ) => return,
        }
        // What an answer adds is added at once, whatever the others still have to say (13).
        let added = model.targets & model.found;
        let waits = self.open.iter().any(|other| other.server != socket.server);
        seen_if(
            seen,
            added & !self.expected != 0 && waits,
            "a backend is added while another server is silent",
        );
        self.expected |= added;
    }

    fn perform(&mut self, action: &Action, before: u8, seen: &mut Sometimes) -> Result<(), String> {
        match action {
            Action::Ask { query, server, message } => self.ask(*query, *server, message),
            Action::OpenStream { query, .. } => {
                seen.see("a cut answer is asked for on a stream");
                ensure(self.open.iter().any(|socket| socket.query == *query && socket.is_stream), || {
                    format!("I4: {query:?} is opened and was not announced")
                })
            }
            Action::Send(query, framed) => {
                let id = u16::from_be_bytes([framed[2], framed[3]]);
                self.identify(*query, id)
            }
            Action::Forget(query) => {
                let before = self.open.len();
                self.open.retain(|socket| socket.query != *query);
                ensure(self.open.len() < before, || format!("I4: {query:?} is forgotten but not open"))
            }
            Action::Resolved(set) => self.resolved(set),
            Action::Note(note) => self.heed(note, before, seen),
        }
    }

    fn ask(&mut self, query: QueryId, to: SocketAddr, message: &[u8]) -> Result<(), String> {
        ensure(to == server(self.socket(query).server), || format!("I4: {query:?} goes elsewhere"))?;
        self.identify(query, u16::from_be_bytes([message[0], message[1]]))
    }

    /// A question leaves with this id.
    fn identify(&mut self, query: QueryId, id: u16) -> Result<(), String> {
        let to = self.socket(query).server;
        let clash = self.open.iter().any(|other| other.sent && other.server == to && other.id == id);
        ensure(!clash, || format!("I14: the id {id} is in use"))?;
        let model = &mut self.servers[to];
        let asked = &mut model.part.asked;
        *asked += 1;
        ensure(*asked <= MOST_ASKED, || format!("I12: question {asked} of a round"))?;
        for socket in self.open.iter_mut().filter(|socket| socket.query == query) {
            (socket.id, socket.sent) = (id, true);
        }
        Ok(())
    }

    fn resolved(&mut self, set: &[Backend]) -> Result<(), String> {
        let sorted = set.windows(2).all(|two| two[0].identity() < two[1].identity());
        ensure(sorted, || format!("I5: not sorted, or not each once: {set:?}"))?;
        self.published = true;
        Ok(())
    }

    /// What the machine says about its rounds.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all else follows from these, or is told to people alone"
    )]
    fn heed(&mut self, note: &Note, before: u8, seen: &mut Sometimes) -> Result<(), String> {
        match note {
            Note::RoundStarted { .. } => {
                let rested = self.rested.is_none_or(|ended| ended.after(STEP) <= self.now);
                ensure(rested || !self.published, || {
                    "I12: the rounds follow each other too fast".to_owned()
                })?;
                (self.asking, self.age, self.decided) = (true, 0, false);
                self.servers.iter_mut().for_each(|server| server.part.begin());
            }
            Note::Asked { query, server: to, question, channel, attempt } => {
                let number = self.number(*to)?;
                let subject = Subject::of(&question.name);
                seen_if(seen, subject != Subject::Service, "an address is asked for");
                if subject == Subject::Service {
                    self.servers[number].part.attempt(*attempt);
                }
                self.open.push(Socket {
                    query: *query,
                    server: number,
                    subject,
                    id: 0,
                    attempt: *attempt,
                    is_stream: *channel == qorb_core::dns::Channel::Stream,
                    sent: false,
                });
            }
            Note::ServerFailed { server: of, .. } => self.is_said_to_fail(*of)?,
            Note::Lapsed { server: of } => self.is_said_to_lapse(*of)?,
            Note::RoundEnded { positive, negative, failed, .. } => {
                let said = Tally { positive: *positive, negative: *negative, failed: *failed };
                let tally = self.tally(said, seen)?;
                self.asking = false;
                self.rested = Some(self.now);
                self.end_round(tally, before, seen);
            }
            _ => {}
        }
        Ok(())
    }

    /// What the set has to be at the end of a round: removals wait for it, and for somebody who answered.
    fn end_round(&mut self, ended: Tally, before: u8, seen: &mut Sometimes) {
        let union = self.positive();
        if ended.positive > 0 {
            self.denials = 0;
            seen_if(seen, self.expected & !union != 0, "a backend is removed");
            self.expected = union;
        } else if ended.negative > 0 && union != 0 {
            self.denials = 0;
            self.expected = union;
        } else if ended.negative > 0 {
            self.denials = (self.denials + 1).min(CONFIRMATIONS);
            if self.decided || self.denials == CONFIRMATIONS {
                seen_if(seen, before != 0 && self.decided, "the set is emptied at once");
                seen_if(
                    seen,
                    before != 0 && !self.decided,
                    "the set is emptied after denials were confirmed",
                );
                self.expected = 0;
            }
        } else {
            self.denials = 0;
            seen_if(seen, before != 0, "the set stays though every server failed");
        }
    }

    /// What has to be true once everything is carried out.
    fn check(&self) -> Result<(), String> {
        let expected = (0..TARGETS.len() as u8).filter(|target| self.expected & 1 << target != 0);
        let mut expected: Vec<(&str, SocketAddr)> = expected
            .map(|target| (TARGETS[usize::from(target)], SocketAddr::from((address(target), port(target)))))
            .collect();
        expected.sort_unstable();
        let set = self.machine.set();
        ensure(set.iter().map(Backend::identity).eq(expected.iter().copied()), || {
            format!("I6, I7, I8, I9, I13, I15, I16: the set is {set:?}, and has to be {expected:?}")
        })?;
        let last = self.out.iter().rev().find_map(|action| match action {
            Action::Resolved(set) => Some(&set[..]),
            Action::Ask { .. }
            | Action::OpenStream { .. }
            | Action::Send(..)
            | Action::Forget(_)
            | Action::Note(_) => None,
        });
        ensure(last.is_none_or(|last| last == set), || "I5: another set was published last".to_owned())?;
        ensure(self.machine.servers().count() == self.count, || "I18: a server is gone".to_owned())?;
        if self.ended {
            ensure(self.open.is_empty(), || "I4: something is open after the end".to_owned())?;
            return ensure(self.machine.deadline().is_none(), || "I10: a deadline after the end".to_owned());
        }
        let deadline = self.machine.deadline().ok_or("I10: no deadline, and not ended")?;
        ensure(deadline > self.now, || {
            format!("I10: the deadline {deadline} is not later than {}", self.now)
        })?;
        ensure(self.age <= LOOKUP, || format!("I11: a round of {} steps", self.age))?;
        let next = self.machine.next_round().unwrap_or(Timestamp::EPOCH);
        ensure(next <= self.now.after(STEP * 2), || format!("I17: the next round comes at {next}"))
    }
}

fn is_forget(action: &Action) -> bool {
    matches!(action, Action::Forget(_))
}

pub(super) fn seen_if(seen: &mut Sometimes, happened: bool, name: &'static str) {
    if happened {
        seen.see(name);
    }
}
