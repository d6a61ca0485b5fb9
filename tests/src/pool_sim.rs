//! The pool machine among scripted backends, in virtual time: what its stories and scenarios are told
//! with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use qorb_core::dice::Dice;
use qorb_core::pool::{
    Action, Beginning, ClaimId, Denial, Event, Failure, Line, Note, Policy, PoolMachine, Return, SlotId,
    Ticket, transcript_event,
};
use qorb_core::record::{Recorded, Recorder};
use qorb_core::{Backend, Machine, Timestamp};

/// What an operation on a backend leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduct {
    /// It succeeds after this many milliseconds.
    Ok(u64),
    /// It fails after this many milliseconds.
    Fails(u64),
    /// It answers nothing until it is aborted.
    Hangs,
}

/// How a backend behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Manners {
    /// Its connects.
    pub connect: Conduct,
    /// Its health checks.
    pub check: Conduct,
    /// Its recycles, where they are not ready at once.
    pub recycle: Conduct,
}

impl Default for Manners {
    fn default() -> Self {
        Self { connect: Conduct::Ok(0), check: Conduct::Ok(0), recycle: Conduct::Ok(0) }
    }
}

impl Manners {
    /// A backend that behaves but for its connects.
    #[must_use]
    pub fn connecting(connect: Conduct) -> Self {
        Self { connect, ..Self::default() }
    }
}

/// What became of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Granted this slot at this time.
    Granted(SlotId, Timestamp),
    /// Denied at this time.
    Denied(Denial, Timestamp),
}

/// A pool machine, its backends, and the record of what happened.
#[derive(Debug)]
pub struct PoolSim {
    machine: PoolMachine,
    beginning: Beginning,
    /// All that was told to the machine.
    told: Vec<(Timestamp, Event)>,
    now: Timestamp,
    manners: BTreeMap<String, Manners>,
    /// What is under way: when it ends, and how.
    pending: BTreeSet<(Timestamp, u64, SlotId)>,
    completions: BTreeMap<u64, Event>,
    running: BTreeMap<SlotId, (u64, Kind)>,
    counter: u64,
    next_claim: u32,
    outcomes: BTreeMap<ClaimId, Outcome>,
    tickets: BTreeMap<SlotId, Ticket>,
    /// Which backend each living slot belongs to.
    slots: BTreeMap<SlotId, String>,
    /// Every connect that began, with its backend.
    pub dials: Vec<(Timestamp, String)>,
    /// The most slots there ever were at a time.
    pub most_slots: usize,
    /// Whether `Stopped` was reported.
    pub stopped: bool,
    transcript: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Connect,
    Check,
    Recycle,
}

impl PoolSim {
    /// A pool with this policy and seed, that knows no backend.
    ///
    /// # Panics
    ///
    /// Panics if the policy is refused.
    #[must_use]
    pub fn new(policy: Policy, seed: u64) -> Self {
        let beginning = Beginning::New { policy, dice: Dice::Seeded(seed), at: Timestamp::EPOCH };
        let machine = PoolMachine::begin(beginning.clone()).expect("a valid policy");
        Self {
            machine,
            beginning,
            told: Vec::new(),
            now: Timestamp::EPOCH,
            manners: BTreeMap::new(),
            pending: BTreeSet::new(),
            completions: BTreeMap::new(),
            running: BTreeMap::new(),
            counter: 0,
            next_claim: 0,
            outcomes: BTreeMap::new(),
            tickets: BTreeMap::new(),
            slots: BTreeMap::new(),
            dials: Vec::new(),
            most_slots: 0,
            stopped: false,
            transcript: String::new(),
        }
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &PoolMachine {
        &self.machine
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Sets how a backend behaves from now on.
    pub fn behave(&mut self, name: &str, manners: Manners) {
        self.manners.insert(name.to_owned(), manners);
    }

    /// Publishes these backends, as [`backend`] knows them; one that has no manners yet behaves.
    pub fn publish(&mut self, names: &[&str]) {
        let backends = names.iter().map(|name| backend(name)).collect();
        self.happen(Event::Backends(backends));
    }

    /// A claim with the policy's patience.
    pub fn claim(&mut self) -> ClaimId {
        let deadline = self.now.after(self.machine.policy().claim_timeout);
        self.claim_by(deadline)
    }

    /// A claim with its own deadline.
    pub fn claim_by(&mut self, deadline: Timestamp) -> ClaimId {
        let claim = ClaimId(self.next_claim);
        self.next_claim += 1;
        self.happen(Event::Claim { claim, deadline });
        claim
    }

    /// A claim that must be granted at once.
    ///
    /// # Panics
    ///
    /// Panics if it is not.
    pub fn claim_now(&mut self) -> SlotId {
        let claim = self.claim();
        self.served(claim)
    }

    /// A claim that must be granted within so many milliseconds, which pass.
    ///
    /// # Panics
    ///
    /// Panics if it is not.
    pub fn claim_within(&mut self, millis: u64) -> (ClaimId, SlotId) {
        let claim = self.claim();
        self.run(millis);
        (claim, self.served(claim))
    }

    /// What became of a claim; `None` while it waits.
    #[must_use]
    pub fn outcome(&self, claim: ClaimId) -> Option<Outcome> {
        self.outcomes.get(&claim).copied()
    }

    /// The slot that the claim was granted.
    #[must_use]
    pub fn granted(&self, claim: ClaimId) -> Option<SlotId> {
        match self.outcome(claim)? {
            Outcome::Granted(slot, _) => Some(slot),
            Outcome::Denied(..) => None,
        }
    }

    /// The slot that a claim must have been granted.
    ///
    /// # Panics
    ///
    /// Panics if it was not.
    #[must_use]
    pub fn served(&self, claim: ClaimId) -> SlotId {
        self.granted(claim)
            .unwrap_or_else(|| panic!("{claim:?} got {:?}\n{}", self.outcome(claim), self.transcript))
    }

    /// The claimer of this slot is done.
    pub fn give_back(&mut self, slot: SlotId, how: Return) {
        self.happen(Event::Returned(slot, how));
    }

    /// The name of the slot's backend.
    ///
    /// # Panics
    ///
    /// Panics on a slot that does not exist.
    #[must_use]
    pub fn backend_of(&self, slot: SlotId) -> &str {
        &self.slots[&slot]
    }

    /// How many slots this backend has.
    #[must_use]
    pub fn slots_of(&self, name: &str) -> usize {
        self.slots.values().filter(|of| *of == name).count()
    }

    /// Ends the pool.
    pub fn shut_down(&mut self) {
        self.happen(Event::ShutDown);
    }

    /// `on_acquire` fails for the claim that holds this slot.
    ///
    /// # Panics
    ///
    /// Panics if nobody holds it.
    pub fn fail_acquire(&mut self, slot: SlotId, claim: ClaimId) {
        let ticket = self.tickets[&slot];
        self.outcomes.remove(&claim);
        self.happen(Event::AcquireFailed { slot, claim, ticket, failure: Failure::Error });
    }

    /// The claim's future is dropped while it waits.
    pub fn cancel(&mut self, claim: ClaimId) {
        self.happen(Event::Cancelled(claim));
    }

    /// Lets this many milliseconds pass.
    pub fn run(&mut self, millis: u64) {
        let until = self.now.after(Duration::from_millis(millis));
        while let Some(at) = self.next().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            match self.pending.first().copied() {
                Some((due, number, slot)) if due <= at => {
                    self.pending.pop_first();
                    self.running.remove(&slot);
                    let event = self.completions.remove(&number).expect("what is pending ends somehow");
                    self.happen(event);
                }
                _ => self.happen(Event::Tick),
            }
        }
        self.now = until;
    }

    /// What happened since the last call, as a transcript.
    pub fn tell(&mut self) -> String {
        std::mem::take(&mut self.transcript)
    }

    /// All that was told to the machine.
    #[must_use]
    pub fn told(&self) -> &[(Timestamp, Event)] {
        &self.told
    }

    /// All that happened, as a log.
    ///
    /// # Panics
    ///
    /// Panics where the machine does not do the same again.
    #[must_use]
    pub fn log(&self) -> String {
        let told = self.told.iter().cloned();
        let recorder = Recorder::<PoolMachine>::retell(self.beginning.clone(), told);
        let recorder = recorder.expect("it began so before");
        assert_eq!(*recorder.machine(), self.machine, "C1: other states the second time");
        recorder.log()
    }

    fn next(&self) -> Option<Timestamp> {
        let due = self.pending.first().map(|(at, ..)| *at);
        match (due, self.machine.deadline()) {
            (Some(due), Some(deadline)) => Some(due.min(deadline)),
            (due, deadline) => due.or(deadline),
        }
    }

    fn happen(&mut self, event: Event) {
        let _ = writeln!(self.transcript, "{}", transcript_event(&self.machine, self.now, &event));
        if let Event::Closed(slot)
        | Event::Connected(slot, Err(_))
        | Event::Returned(slot, Return::Detached) = &event
        {
            self.slots.remove(slot);
        }
        let mut out = Vec::new();
        self.told.push((self.now, event.clone()));
        self.machine.handle(self.now, event, &mut out);
        let mut closed = Vec::new();
        let mut fetched = Vec::new();
        for action in out {
            if !matches!(action, Action::Note(Note::Slot { .. } | Note::Planned { .. })) {
                let _ = writeln!(self.transcript, "    {}", Line(&action));
            }
            self.perform(action, &mut closed, &mut fetched);
        }
        self.most_slots = self.most_slots.max(self.slots.len());
        self.machine.audit().unwrap_or_else(|broken| panic!("{broken}\n{}", self.transcript));
        for claim in fetched {
            self.happen(Event::Fetched(claim));
        }
        for slot in closed {
            self.happen(Event::Closed(slot));
        }
    }

    fn perform(&mut self, action: Action, closed: &mut Vec<SlotId>, fetched: &mut Vec<ClaimId>) {
        match action {
            Action::Connect(slot, backend) => {
                let name = self.machine.backend(backend).name.to_string();
                self.slots.insert(slot, name.clone());
                self.dials.push((self.now, name));
                self.start(slot, Kind::Connect);
            }
            Action::Check(slot) => self.start(slot, Kind::Check),
            Action::Recycle(slot) => self.start(slot, Kind::Recycle),
            Action::Close(slot) => closed.push(slot),
            Action::Abort(slot) => {
                let (number, kind) = self.running.remove(&slot).expect("C3: something runs");
                self.pending.retain(|(_, other, _)| *other != number);
                self.completions.remove(&number);
                self.end_at(slot, kind, self.now, Err(Failure::Aborted));
            }
            Action::Grant { claim, slot, ticket } => {
                self.outcomes.insert(claim, Outcome::Granted(slot, self.now));
                self.tickets.insert(slot, ticket);
                if self.machine.slot_kind(slot) == Some(qorb_core::pool::SlotKind::Granted) {
                    fetched.push(claim);
                }
            }
            Action::Deny(claim, denial) => {
                self.outcomes.insert(claim, Outcome::Denied(denial, self.now));
            }
            Action::Stopped => self.stopped = true,
            Action::Revoke(..) | Action::Note(_) => {}
        }
    }

    fn start(&mut self, slot: SlotId, kind: Kind) {
        let manners = self.manners.get(&self.slots[&slot]).copied().unwrap_or_default();
        let conduct = match kind {
            Kind::Connect => manners.connect,
            Kind::Check => manners.check,
            Kind::Recycle => manners.recycle,
        };
        let (millis, result) = match conduct {
            Conduct::Ok(millis) => (millis, Ok(())),
            Conduct::Fails(millis) => (millis, Err(Failure::Error)),
            Conduct::Hangs => {
                self.counter += 1;
                self.running.insert(slot, (self.counter, kind));
                return;
            }
        };
        self.end_at(slot, kind, self.now.after(Duration::from_millis(millis)), result);
    }

    fn end_at(&mut self, slot: SlotId, kind: Kind, at: Timestamp, result: Result<(), Failure>) {
        let event = match kind {
            Kind::Connect => Event::Connected(slot, result),
            Kind::Check => Event::Checked(slot, result),
            Kind::Recycle => Event::Recycled(slot, result),
        };
        self.counter += 1;
        self.running.insert(slot, (self.counter, kind));
        self.completions.insert(self.counter, event);
        self.pending.insert((at, self.counter, slot));
    }
}

/// The backend that the simulation knows by this name; `name@2` is the same name at another address, and
/// `name/1/3` is of priority 1 and weight 3.
#[must_use]
pub fn backend(name: &str) -> Backend {
    let mut parts = name.split('/');
    let name = parts.next().expect("a split text has a part");
    let mut number = || parts.next().map_or(0, |part| part.parse().expect("a small number"));
    let (priority, weight) = (number(), number());
    let (name, port) = match name.split_once('@') {
        Some((name, number)) => (name, 1000 + number.parse::<u16>().expect("a small number")),
        None => (name, 1000),
    };
    Backend { priority, weight, ..Backend::new(name, ([127, 0, 0, 1], port).into()) }
}
