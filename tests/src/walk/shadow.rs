//! What an embedder can know of a pool machine from its events and actions alone, and the contract
//! checked on that.

mod claims;
mod embedder;
mod model;
mod owed;
mod state;

use std::collections::BTreeSet;

use qorb_core::pool::{Action, BackendId, ClaimId, Event, Policy, PoolMachine, Return, SlotId, Ticket};
use qorb_core::{Backend, Machine, Timestamp};

use self::model::{BackendModel, ClaimModel, Granted, Place, SlotModel};
pub use self::owed::Owed;
use crate::contract::{Supply, most_actions};
use crate::operation::Operation;

/// The shadow of a pool machine: told every event before the machine, and every action after it.
#[derive(Debug)]
pub struct Shadow {
    policy: Policy,
    now: Timestamp,
    slots: Vec<Option<SlotModel>>,
    claims: Vec<ClaimModel>,
    backends: Vec<BackendModel>,
    /// The arrival numbers of the claims that wait.
    waiting: BTreeSet<u64>,
    /// When they give up.
    deadlines: BTreeSet<(Timestamp, u64)>,
    revoked: usize,
    acquiring: usize,
    granted: usize,
    arrivals: u64,
    total: usize,
    /// Connections at rest on wanted backends.
    resting: usize,
    ended: bool,
    stopped: bool,
    /// The event under way is the end.
    is_ending: bool,
    /// The set of the event under way.
    published: Option<Vec<Backend>>,
    asking: Option<ClaimId>,
    /// The claim whose `on_acquire` failed in the event under way.
    failing: Option<ClaimId>,
    /// The slot whose operation the event under way ends: it may be aborted in the same moment.
    ending: Option<SlotId>,
    /// Slots that the event under way concerns.
    touched: Vec<SlotId>,
    /// Something was due when the event under way came.
    is_due: bool,
    /// The event under way is a tick.
    is_tick: bool,
    slots_before: usize,
    without_before: usize,
    /// What there was for claims before the event under way, if a claim's time may be up by then.
    supply_before: Option<Supply>,
    /// A claim that just came got nothing.
    turned_away: bool,
    owed: Option<Owed>,
    /// Events since then.
    calm_for: u64,
    /// Claims that came since then, and wait without end.
    endless: BTreeSet<ClaimId>,
}

impl Shadow {
    /// The shadow of a machine that just began with this policy.
    #[must_use]
    pub fn new(policy: Policy, now: Timestamp) -> Self {
        Self {
            policy,
            now,
            slots: Vec::new(),
            claims: Vec::new(),
            backends: Vec::new(),
            waiting: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            revoked: 0,
            acquiring: 0,
            granted: 0,
            arrivals: 0,
            total: 0,
            resting: 0,
            ended: false,
            stopped: false,
            is_ending: false,
            published: None,
            asking: None,
            failing: None,
            ending: None,
            touched: Vec::new(),
            is_due: false,
            is_tick: false,
            slots_before: 0,
            without_before: 0,
            supply_before: None,
            turned_away: false,
            owed: None,
            calm_for: 0,
            endless: BTreeSet::new(),
        }
    }

    /// Claims without a connection.
    #[must_use]
    pub fn without(&self) -> usize {
        self.waiting.len() + self.revoked
    }

    /// Slots in any state.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.total
    }

    /// Whether it was shut down.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether it was shut down and nothing of it is left.
    #[must_use]
    pub fn has_come_to_its_end(&self) -> bool {
        self.stopped && self.total == 0
    }

    /// Notes what the embedder does before it tells the machine.
    ///
    /// # Errors
    ///
    /// Says what no embedder may do.
    pub fn before(&mut self, machine: &PoolMachine, now: Timestamp, event: &Event) -> Result<(), String> {
        self.now = self.now.max(now);
        self.is_due = machine.deadline().is_some_and(|at| at <= self.now);
        self.may_be_told(event)?;
        self.calm_for += 1;
        self.touched.clear();
        self.ending = None;
        self.is_ending = *event == Event::ShutDown;
        self.is_tick = *event == Event::Tick;
        self.slots_before = self.total;
        self.without_before = self.without();
        self.turned_away = false;
        // One that resumes is answered after all timers, by what there is then.
        let resumes = matches!(event, Event::Resume(_));
        self.supply_before = (self.is_due && !resumes).then(|| self.supply());
        match *event {
            Event::Claim { claim, deadline } => {
                self.arrivals += 1;
                self.asking = Some(claim);
                let ticket = Ticket { arrival: self.arrivals, deadline, failures: 0 };
                self.becomes(claim, ClaimModel::Asking(ticket));
                self.is_owed(claim);
            }
            Event::Resume(claim) => {
                let ClaimModel::Revoked(ticket) = self.claim(claim) else { unreachable!("it may be told") };
                self.becomes(claim, ClaimModel::Waiting(ticket));
            }
            Event::Fetched(claim) => {
                self.leaves_seat(claim, Place::Claimer);
                self.becomes(claim, ClaimModel::Free);
            }
            Event::Cancelled(claim) => {
                self.leaves_seat(claim, Place::Shelf);
                self.becomes(claim, ClaimModel::Free);
            }
            Event::AcquirePending { slot, claim, ticket } => {
                self.becomes(claim, ClaimModel::Acquiring);
                self.place(slot, Place::Acquiring { claim, told: false, denied: false });
                self.model(slot)?.granted = Some(Granted { ticket, is_unbounded: false });
            }
            Event::Acquired(slot) => {
                if let Some(claim) = self.acquiring_for(slot) {
                    self.becomes(claim, ClaimModel::Free);
                }
                self.place(slot, Place::Claimer);
                self.model(slot)?.granted = None;
            }
            Event::AcquireFailed { slot, claim, ticket, .. } => {
                let ticket = Ticket { failures: ticket.failures + 1, ..ticket };
                self.becomes(claim, ClaimModel::Waiting(ticket));
                self.failing = Some(claim);
                self.place(slot, Place::Shelf);
            }
            Event::Returned(slot, how) => self.before_return(slot, how),
            Event::Connected(slot, result) => self.finishes(slot, result.is_ok(), result.is_err()),
            Event::Checked(slot, result) | Event::Recycled(slot, result) => {
                self.finishes(slot, result.is_ok(), false);
            }
            Event::Closed(slot) => self.finishes(slot, false, true),
            Event::ShutDown => self.ended = true,
            Event::Backends(ref set) => self.published = Some(set.clone()),
            Event::Tick => {}
        }
        Ok(())
    }

    /// Does what the machine asks for, if it may ask for it.
    ///
    /// # Errors
    ///
    /// Says which rule is broken.
    pub fn perform(&mut self, machine: &PoolMachine, action: &Action) -> Result<(), String> {
        if self.published.is_some() && !matches!(action, Action::Note(_)) {
            self.learn_set(machine)?;
        }
        match *action {
            Action::Connect(slot, backend) => self.connect(slot, backend),
            Action::Check(slot) => self.start(slot, Operation::Check),
            Action::Recycle(slot) => self.start(slot, Operation::Recycle),
            Action::Close(slot) => self.start(slot, Operation::Close),
            Action::Abort(slot) if self.ending.take_if(|ending| *ending == slot).is_some() => Ok(()),
            Action::Abort(slot) => {
                self.touched.push(slot);
                match &mut self.model(slot)?.running {
                    Some((operation, aborted)) if *operation != Operation::Close && !*aborted => {
                        *aborted = true;
                        Ok(())
                    }
                    other => Err(format!("C3: abort of {slot:?} with {other:?} running")),
                }
            }
            Action::Grant { claim, slot, ticket } => self.grant(claim, slot, ticket),
            Action::Revoke(claim, slot) => self.revoke(claim, slot),
            Action::Deny(claim, denial) => self.deny(claim, denial),
            Action::Stopped => {
                ensure(self.ended && !self.stopped, || "C10: stopped twice or unasked".to_owned())?;
                self.stopped = true;
                let in_hands =
                    |slot: &SlotModel| matches!(slot.place, Place::Claimer | Place::Acquiring { .. });
                ensure(self.slots.iter().flatten().all(in_hands), || "C10: stopped with work left".to_owned())
            }
            Action::Note(_) => Ok(()),
        }
    }

    /// What has to be true once all actions are carried out.
    ///
    /// # Errors
    ///
    /// Says which rule is broken.
    pub fn after(&mut self, machine: &PoolMachine, actions: &[Action]) -> Result<(), String> {
        if self.published.is_some() {
            self.learn_set(machine)?;
        }
        let count = actions.iter().filter(|action| !matches!(action, Action::Note(_))).count();
        ensure(self.is_due || !self.is_tick || count == 0, || {
            format!("C2: {count} actions though nothing was due")
        })?;
        let bound = most_actions(self.slots_before, self.total, self.without_before);
        ensure(count <= bound, || format!("C7: {count} actions for one event, at most {bound} allowed"))?;
        self.conclude_claims()?;
        let deadline = machine.deadline();
        ensure(deadline.is_none_or(|at| at > self.now), || {
            format!("C2: the deadline {deadline:?} is not later than {}", self.now)
        })?;
        let waiting = machine.waiting() as usize;
        ensure(waiting == self.waiting.len(), || {
            format!("C5: the machine thinks that {waiting} wait, {} do", self.waiting.len())
        })?;
        let known = (machine.wanted().total() + machine.draining().total()) as usize;
        ensure(known == self.total, || format!("C3: the machine knows {known} slots of {}", self.total))?;
        while let Some(slot) = self.touched.pop() {
            self.compare(machine, slot)?;
            let left = self.slots[slot.0 as usize].and_then(|model| model.running);
            let working =
                matches!(left, Some((Operation::Connect | Operation::Check | Operation::Recycle, false)));
            ensure(!self.ended || !working, || format!("C10: {slot:?} is left at work: {left:?}"))?;
        }
        if self.ended { self.check_end() } else { self.check_waiting(machine) }
    }

    fn before_return(&mut self, slot: SlotId, how: Return) {
        match self.known(slot).map(|model| model.place) {
            Some(Place::Seat(claim) | Place::Acquiring { claim, denied: false, .. }) => {
                self.becomes(claim, ClaimModel::Free);
            }
            Some(Place::Acquiring { .. } | Place::Away | Place::Shelf | Place::Claimer) | None => {}
        }
        self.place(slot, Place::Shelf);
        if how == Return::Detached {
            self.vanish(slot);
        }
    }

    /// An operation has ended; its connection is back with the embedder, if it left one.
    fn finishes(&mut self, slot: SlotId, left_one: bool, gone: bool) {
        self.ending = Some(slot);
        self.place(slot, Place::Away);
        if let Some(model) = &mut self.slots[slot.0 as usize] {
            model.running = None;
        }
        if left_one {
            self.place(slot, Place::Shelf);
        }
        if gone {
            self.vanish(slot);
        }
    }

    fn vanish(&mut self, slot: SlotId) {
        self.place(slot, Place::Away);
        if let Some(model) = self.slots[slot.0 as usize].take() {
            self.backends[model.backend.0 as usize].slots -= 1;
            self.total -= 1;
        }
    }

    /// Which backends are wanted now; what the machine calls them, it has decided by now.
    fn learn_set(&mut self, machine: &PoolMachine) -> Result<(), String> {
        let Some(set) = self.published.take() else { return Ok(()) };
        if self.ended {
            return Ok(());
        }
        for model in &mut self.backends {
            model.wanted = false;
        }
        // Of one that is named twice, the first counts.
        let mut named = BTreeSet::new();
        let mut unknown: Vec<_> = set.iter().filter(|one| named.insert(one.identity())).collect();
        for view in machine.census() {
            let index = view.id.0 as usize;
            if index >= self.backends.len() {
                self.backends.resize(index + 1, BackendModel::default());
            }
            // Most differ in the address, whose comparison is cheap.
            let same = |one: &Backend| one.address == view.backend.address && one == view.backend;
            let known = unknown.iter().position(|published| same(published));
            let wanted = known.map(|at| unknown.swap_remove(at)).is_some();
            ensure(wanted == view.in_set, || format!("C5: {} is taken for {}", view.backend, view.in_set))?;
            self.backends[index].wanted = wanted;
        }
        ensure(unknown.is_empty(), || format!("C5: the machine does not know {unknown:?}"))?;
        self.resting = self.backends.iter().filter(|of| of.wanted).map(|of| of.resting).sum();
        Ok(())
    }

    fn connect(&mut self, slot: SlotId, backend: BackendId) -> Result<(), String> {
        let (total, index) = (self.total, slot.0 as usize);
        ensure(!self.ended, || "C10: a connect after the end".to_owned())?;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, None);
        }
        ensure(self.slots[index].is_none(), || format!("C4: {slot:?} connects but exists"))?;
        ensure(total < self.policy.max_slots, || format!("C7: {total} slots, and one more opens"))?;
        let of = &mut self.backends[backend.0 as usize];
        ensure(of.slots < self.policy.set_config.max_count, || {
            format!("C7: {} slots of {backend:?}, and one more opens", of.slots)
        })?;
        ensure(of.wanted, || format!("C5: {backend:?} is dialled but not wanted"))?;
        of.slots += 1;
        self.total += 1;
        let running = Some((Operation::Connect, false));
        self.slots[index] = Some(SlotModel { backend, running, place: Place::Away, granted: None });
        self.touched.push(slot);
        Ok(())
    }

    fn start(&mut self, slot: SlotId, operation: Operation) -> Result<(), String> {
        let close = operation == Operation::Close;
        // What was due before the end may start in the same moment, and is aborted in it.
        ensure(!self.ended || close || self.is_ending, || {
            format!("C10: {operation:?} starts after the end")
        })?;
        let model = *self.model(slot)?;
        ensure(model.running.is_none(), || {
            format!("C4: {operation:?} starts on {slot:?} beside {:?}", model.running)
        })?;
        ensure(model.place == Place::Shelf || (close && model.place == Place::Away), || {
            format!("C4: {operation:?} starts on {slot:?} whose connection is {:?}", model.place)
        })?;
        self.place(slot, Place::Away);
        self.model(slot)?.running = Some((operation, false));
        Ok(())
    }

    fn place(&mut self, slot: SlotId, place: Place) {
        self.touched.push(slot);
        let Some(model) = &mut self.slots[slot.0 as usize] else { return };
        let before = std::mem::replace(&mut model.place, place);
        let of = &mut self.backends[model.backend.0 as usize];
        let (was, is) = (usize::from(before == Place::Shelf), usize::from(place == Place::Shelf));
        of.resting = of.resting + is - was;
        if of.wanted {
            self.resting = self.resting + is - was;
        }
    }

    fn known(&self, slot: SlotId) -> Option<SlotModel> {
        self.slots.get(slot.0 as usize).copied().flatten()
    }

    fn model(&mut self, slot: SlotId) -> Result<&mut SlotModel, String> {
        let model = self.slots.get_mut(slot.0 as usize).and_then(Option::as_mut);
        model.ok_or_else(|| format!("C3: {slot:?} does not exist"))
    }
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
