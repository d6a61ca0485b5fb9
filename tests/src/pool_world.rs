//! An honest embedder of the pool machine, free to let anything happen, that checks the contract on
//! every edge.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use qorb_core::pool::{
    Action, BackendId, ClaimId, Event, Failure, Line, Policy, PoolMachine, Return, SetConfig, SlotId,
    SlotKind, Ticket, transcript_event,
};
use qorb_core::{Backend, Machine, Timestamp, dice};
use std::time::Duration;

use crate::explore::{Sometimes, World};

/// Things that must happen somewhere in an exploration of the pool.
pub const SOMETIMES: &[&str] = &[
    "a claim is granted at once",
    "a claim is granted after waiting",
    "a claim is granted after a connect failed",
    "a grant is revoked",
    "a revoked claim resumes and is granted",
    "on_acquire is told to give up",
    "a claim is denied for too many waiting",
    "a claim is denied for on_acquire",
    "a probe succeeds",
    "an aborted connect succeeds all the same",
    "a check runs",
    "a recycle times out",
    "a close is pending while another slot connects",
    "a backend returns while its connection is held",
    "a slot is moved at the cap",
    "the tick sheds a connection",
    "shutdown denies a waiting claim",
    "the pool stops with a handle out",
    "a suspect is passed over",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Connect,
    Check,
    Recycle,
    Close,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// There is none, or the operation has it.
    Away,
    Shelf,
    Seat(ClaimId, Ticket),
    /// In a claimer's hands, `on_acquire` not polled yet.
    Fresh(Ticket),
    /// In a claimer's hands for good.
    Claimer,
    Acquiring {
        claim: ClaimId,
        ticket: Ticket,
        told: bool,
        denied: bool,
    },
}

#[derive(Clone, Debug)]
struct SlotModel {
    backend: BackendId,
    operation: Option<(Operation, bool)>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ClaimModel {
    Free,
    Asking(u64),
    Waiting(u64),
    Granted(u64),
    Revoked(u64),
    Acquiring,
}

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Backends that may be in the set.
    pub backends: u16,
    /// `max_slots`.
    pub slots: usize,
    /// Claims that may be outstanding, held ones included.
    pub claims: u32,
}

/// What may happen in a world besides claims that come, are fetched, cancelled and returned, operations
/// that end well or badly, and time that passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freedom {
    /// The resolver publishes any set at any time; otherwise all backends once, at the start.
    pub membership: bool,
    /// `on_acquire` pends and fails.
    pub acquire: bool,
    /// The pool is shut down.
    pub shutdown: bool,
    /// Claims may give up waiting; otherwise only "now or never" ones do.
    pub deadlines: bool,
}

impl Freedom {
    /// Everything may happen.
    pub const ALL: Self = Self { membership: true, acquire: true, shutdown: true, deadlines: true };
}

/// A pool machine and a model of all that its embedder is to know.
#[derive(Clone, Debug)]
pub struct PoolWorld {
    machine: PoolMachine,
    size: Size,
    freedom: Freedom,
    /// All that may be in the set.
    backends: Rc<[Backend]>,
    /// Nothing is checked but what the steps need: for runs from states that were.
    trusting: bool,
    now: Timestamp,
    slots: BTreeMap<SlotId, SlotModel>,
    claims: Vec<ClaimModel>,
    arrivals: u64,
    published: u16,
    ended: bool,
    stopped: bool,
    out: Vec<Action>,
}

impl PoolWorld {
    /// A pool with a policy in which every time-out plays a part and all of them are multiples of
    /// each other, so that the world stays finite.
    #[must_use]
    pub fn new(size: Size, freedom: Freedom) -> Self {
        let policy = Policy {
            spares_wanted: 1,
            max_slots: size.slots,
            rebalance_interval: Duration::from_secs(1),
            claim_timeout: Duration::from_secs(1),
            max_waiting: 1,
            set_config: SetConfig {
                max_count: 2,
                min_connection_backoff: Duration::from_secs(1),
                max_connection_backoff: Duration::from_secs(1),
                spread: Duration::ZERO,
                health_interval: Duration::from_secs(1),
                health_check_timeout: Duration::from_secs(1),
                connect_timeout: Duration::from_secs(1),
            },
        };
        let machine = PoolMachine::new(policy, &dice::Dice::Fixed, Timestamp::EPOCH)
            .expect("the world's own policy is valid");
        Self {
            machine,
            size,
            freedom,
            backends: (0..size.backends).map(backend).collect(),
            trusting: false,
            now: Timestamp::EPOCH,
            slots: BTreeMap::new(),
            claims: vec![ClaimModel::Free; size.claims as usize],
            arrivals: 0,
            published: 0,
            ended: false,
            stopped: false,
            out: Vec::new(),
        }
    }

    /// The machine, for stories that look inside.
    #[must_use]
    pub fn machine(&self) -> &PoolMachine {
        &self.machine
    }

    fn set(&self, published: u16) -> Vec<Backend> {
        let numbered = (0..).zip(&*self.backends);
        numbered.filter(|(number, _)| published & (1 << number) != 0).map(|(_, of)| of.clone()).collect()
    }

    /// The bit by which this backend is known in `published`.
    fn bit(&self, backend: BackendId) -> u16 {
        let known = self.machine.backend(backend);
        let number = self.backends.iter().position(|other| other.address == known.address);
        1 << number.expect("the world publishes its own backends")
    }

    fn wanted(&self, backend: BackendId) -> bool {
        self.published & self.bit(backend) != 0
    }

    fn free_claim(&self) -> Option<ClaimId> {
        let at = self.claims.iter().position(|claim| *claim == ClaimModel::Free)?;
        Some(ClaimId(u32::try_from(at).expect("few claims")))
    }

    /// Claims that are outstanding, the held ones included.
    fn outstanding(&self) -> u32 {
        let with = self
            .slots
            .values()
            .filter(|slot| matches!(slot.place, Place::Fresh(_) | Place::Claimer | Place::Acquiring { .. }));
        let without =
            self.claims.iter().filter(|claim| !matches!(claim, ClaimModel::Free | ClaimModel::Acquiring));
        u32::try_from(with.count() + without.count()).expect("few claims")
    }

    fn waiting(&self) -> usize {
        self.claims.iter().filter(|claim| matches!(claim, ClaimModel::Waiting(_))).count()
    }

    /// Handles an event and carries out what the machine asks for, checking every rule.
    ///
    /// # Errors
    ///
    /// Says which rule is broken.
    pub fn step(&mut self, event: Event, seen: &mut Sometimes) -> Result<(), String> {
        if event == Event::Tick
            && let Some(deadline) = self.machine.deadline()
        {
            self.now = self.now.max(deadline);
            // Polling takes no time: whoever was not told otherwise by now has its connection for good.
            for slot in self.slots.values_mut().filter(|slot| matches!(slot.place, Place::Fresh(_))) {
                slot.place = Place::Claimer;
            }
        }
        let slots_before = self.slots.len();
        let waiting_before = self.waiting();
        let without_before =
            waiting_before + self.claims.iter().filter(|c| matches!(c, ClaimModel::Revoked(_))).count();
        self.prepare(&event, seen);
        let mut out = core::mem::take(&mut self.out);
        let twin = (!self.trusting).then(|| self.machine.clone());
        self.machine.handle(self.now, event.clone(), &mut out);
        if let Some(twin) = twin {
            self.check_determinism(twin, &event, &out)?;
        }
        let actions = out.iter().filter(|action| !matches!(action, Action::Note(_))).count();
        for action in out.drain(..) {
            self.perform(&action, &event, seen)?;
        }
        self.out = out;
        let bound = 2 * (slots_before + self.slots.len() + waiting_before) + 8;
        ensure(actions <= bound, || format!("C7: {actions} actions for one event, at most {bound} allowed"))?;
        self.conclude(without_before)?;
        if self.trusting {
            return Ok(());
        }
        self.notice(seen);
        self.check_state()
    }

    /// The same event once more on a twin, with a clock that has gone back where that must not matter.
    fn check_determinism(&self, mut twin: PoolMachine, event: &Event, out: &[Action]) -> Result<(), String> {
        let (rule, at) = match event {
            Event::Tick => ("C1", self.now),
            _ => ("C1 or C8", Timestamp::EPOCH),
        };
        let mut again = Vec::with_capacity(out.len());
        twin.handle(at, event.clone(), &mut again);
        ensure(again == out, || format!("{rule}: other actions the second time, at {at}: {again:?}"))?;
        ensure(twin == self.machine, || format!("{rule}: another state the second time, at {at}"))
    }

    /// What the embedder does before it tells the machine.
    fn prepare(&mut self, event: &Event, seen: &mut Sometimes) {
        match *event {
            Event::Claim { claim, .. } => {
                self.arrivals += 1;
                self.claims[claim.0 as usize] = ClaimModel::Asking(self.arrivals);
            }
            Event::Resume(claim) => {
                if let ClaimModel::Revoked(arrival) = self.claims[claim.0 as usize] {
                    self.claims[claim.0 as usize] = ClaimModel::Waiting(arrival);
                }
            }
            Event::Fetched(claim) => {
                self.claims[claim.0 as usize] = ClaimModel::Free;
                for slot in self.slots.values_mut() {
                    if let Place::Seat(of, ticket) = slot.place
                        && of == claim
                    {
                        slot.place = Place::Fresh(ticket);
                    }
                }
            }
            Event::Cancelled(claim) => {
                self.claims[claim.0 as usize] = ClaimModel::Free;
                let seated = |slot: &&mut SlotModel| matches!(slot.place, Place::Seat(of, _) if of == claim);
                for slot in self.slots.values_mut().filter(seated) {
                    slot.place = Place::Shelf;
                }
            }
            Event::AcquirePending { slot, claim, ticket } => {
                self.claims[claim.0 as usize] = ClaimModel::Acquiring;
                self.model(slot).place = Place::Acquiring { claim, ticket, told: false, denied: false };
            }
            Event::Acquired(slot) => {
                if let Place::Acquiring { claim, .. } = self.model(slot).place {
                    self.claims[claim.0 as usize] = ClaimModel::Free;
                    self.model(slot).place = Place::Claimer;
                }
            }
            Event::AcquireFailed { slot, claim, ticket, .. } => {
                self.claims[claim.0 as usize] = ClaimModel::Waiting(ticket.arrival);
                self.model(slot).place = Place::Shelf;
            }
            Event::Returned(slot, Return::Detached) => {
                self.slots.remove(&slot);
            }
            Event::Returned(slot, _) => {
                if let Place::Acquiring { claim, denied: false, .. } = self.model(slot).place {
                    self.claims[claim.0 as usize] = ClaimModel::Free;
                }
                self.model(slot).place = Place::Shelf;
            }
            Event::Connected(slot, result) => {
                let model = self.model(slot);
                let aborted = model.operation.take().is_some_and(|(_, aborted)| aborted);
                model.place = Place::Shelf;
                if result.is_err() {
                    self.slots.remove(&slot);
                } else if aborted {
                    seen.see("an aborted connect succeeds all the same");
                }
            }
            Event::Checked(slot, result) | Event::Recycled(slot, result) => {
                self.model(slot).operation = None;
                self.model(slot).place = if result.is_ok() { Place::Shelf } else { Place::Away };
            }
            Event::Closed(slot) => {
                self.slots.remove(&slot);
            }
            Event::ShutDown => self.ended = true,
            Event::Backends(_) | Event::Tick => {}
        }
        if let Event::Backends(set) = event {
            let before = self.published;
            let numbered = (0..).zip(&*self.backends);
            self.published = numbered.filter(|(_, of)| set.contains(of)).map(|(n, _)| 1 << n).sum();
            let back = self.slots.values().any(|slot| {
                let held = matches!(slot.place, Place::Fresh(_) | Place::Claimer);
                held && self.published & !before & self.bit(slot.backend) != 0
            });
            if back {
                seen.see("a backend returns while its connection is held");
            }
        }
    }

    fn model(&mut self, slot: SlotId) -> &mut SlotModel {
        self.slots.get_mut(&slot).expect("the world asks only about slots that exist")
    }

    /// Does what the machine asks for, if it may ask for it.
    fn perform(&mut self, action: &Action, event: &Event, seen: &mut Sometimes) -> Result<(), String> {
        match *action {
            Action::Connect(slot, backend) => self.perform_connect(slot, backend),
            Action::Check(slot) => {
                seen.see("a check runs");
                self.start(slot, Operation::Check, &[Place::Shelf])
            }
            Action::Recycle(slot) => self.start(slot, Operation::Recycle, &[Place::Shelf]),
            Action::Close(slot) => {
                if *event == Event::Tick && self.slots.values().all(|slot| slot.operation.is_none()) {
                    seen.see("the tick sheds a connection");
                }
                self.start(slot, Operation::Close, &[Place::Shelf, Place::Away])
            }
            Action::Abort(slot) => {
                let model = self.slots.get_mut(&slot).ok_or("C3: abort of a slot that does not exist")?;
                if let (Some((Operation::Recycle, false)), Event::Tick) = (model.operation, event) {
                    seen.see("a recycle times out");
                }
                match &mut model.operation {
                    Some((operation, aborted)) if *operation != Operation::Close && !*aborted => {
                        *aborted = true;
                        Ok(())
                    }
                    other => Err(format!("C3: abort of {slot:?} with {other:?} running")),
                }
            }
            Action::Grant { claim, slot, ticket } => self.perform_grant(claim, slot, ticket, event, seen),
            Action::Revoke(claim, slot) => self.perform_revoke(claim, slot, seen),
            Action::Deny(claim, denial) => {
                use qorb_core::pool::Denial;
                match denial {
                    Denial::TooManyWaiting => seen.see("a claim is denied for too many waiting"),
                    Denial::AcquireFailed => seen.see("a claim is denied for on_acquire"),
                    Denial::Terminated if *event == Event::ShutDown => {
                        seen.see("shutdown denies a waiting claim");
                    }
                    _ => {}
                }
                self.perform_deny(claim)
            }
            Action::Stopped => {
                ensure(self.ended && !self.stopped, || "C10: stopped twice or unasked".to_owned())?;
                self.stopped = true;
                let in_hands = |slot: &SlotModel| {
                    matches!(slot.place, Place::Fresh(_) | Place::Claimer | Place::Acquiring { .. })
                };
                if !self.slots.is_empty() {
                    seen.see("the pool stops with a handle out");
                }
                ensure(self.slots.values().all(in_hands), || "C10: stopped with work left".to_owned())
            }
            Action::Note(_) => Ok(()),
        }
    }

    fn perform_connect(&mut self, slot: SlotId, backend: BackendId) -> Result<(), String> {
        ensure(!self.ended, || "C10: a connect after the end".to_owned())?;
        ensure(!self.slots.contains_key(&slot), || format!("C4: {slot:?} connects but exists"))?;
        ensure(self.slots.len() < self.size.slots, || {
            format!("C7: {} slots, and one more opens", self.slots.len())
        })?;
        let of = self.slots.values().filter(|slot| slot.backend == backend).count();
        let max_count = self.machine.policy().set_config.max_count;
        ensure(of < max_count, || format!("C7: {of} slots of {backend:?}, and one more opens"))?;
        ensure(self.wanted(backend), || format!("C5: {backend:?} is dialled but not wanted"))?;
        let operation = Some((Operation::Connect, false));
        self.slots.insert(slot, SlotModel { backend, operation, place: Place::Away });
        Ok(())
    }

    fn start(&mut self, slot: SlotId, operation: Operation, from: &[Place]) -> Result<(), String> {
        ensure(!self.ended || operation == Operation::Close, || {
            format!("C10: {operation:?} starts after the end")
        })?;
        let model = self.slots.get_mut(&slot).ok_or("C4: an operation on a slot that does not exist")?;
        ensure(model.operation.is_none(), || {
            format!("C4: {operation:?} starts on {slot:?} beside {:?}", model.operation)
        })?;
        ensure(from.contains(&model.place), || {
            format!("C4: {operation:?} starts on {slot:?} whose connection is {:?}", model.place)
        })?;
        model.operation = Some((operation, false));
        model.place = Place::Away;
        Ok(())
    }

    fn perform_grant(
        &mut self,
        claim: ClaimId,
        slot: SlotId,
        ticket: Ticket,
        event: &Event,
        seen: &mut Sometimes,
    ) -> Result<(), String> {
        ensure(!self.ended, || "C10: a grant after the end".to_owned())?;
        let at_once = *event == Event::Claim { claim, deadline: ticket.deadline };
        let (ClaimModel::Waiting(arrival) | ClaimModel::Asking(arrival)) = self.claims[claim.0 as usize]
        else {
            return Err(format!("C5: {claim:?} is granted but {:?}", self.claims[claim.0 as usize]));
        };
        ensure(ticket.arrival == arrival, || format!("C12: {claim:?} lost its place in the order"))?;
        let first = self.claims.iter().filter_map(|other| match other {
            ClaimModel::Waiting(arrival) => Some(*arrival),
            _ => None,
        });
        ensure(first.min().is_none_or(|first| arrival <= first), || {
            format!("C12: {claim:?} overtakes somebody who waits")
        })?;
        let backend = self.slots.get(&slot).ok_or("C5: a slot is granted that does not exist")?.backend;
        let wanted = self.wanted(backend);
        let model = self.model(slot);
        ensure(model.operation.is_none() && model.place == Place::Shelf && wanted, || {
            format!("C5: {slot:?} is granted but not at rest on a wanted backend: {model:?}")
        })?;
        if at_once {
            model.place = Place::Fresh(ticket);
            self.claims[claim.0 as usize] = ClaimModel::Free;
            seen.see("a claim is granted at once");
        } else {
            model.place = Place::Seat(claim, ticket);
            self.claims[claim.0 as usize] = ClaimModel::Granted(arrival);
            seen.see("a claim is granted after waiting");
            if matches!(event, Event::Resume(_)) {
                seen.see("a revoked claim resumes and is granted");
            }
            let failed = self.machine.census().any(|view| view.failures > 0);
            if failed {
                seen.see("a claim is granted after a connect failed");
            }
        }
        Ok(())
    }

    fn perform_revoke(&mut self, claim: ClaimId, slot: SlotId, seen: &mut Sometimes) -> Result<(), String> {
        match self.model(slot).place {
            Place::Seat(of, _) if of == claim => {
                seen.see("a grant is revoked");
                self.model(slot).place = Place::Shelf;
                if let ClaimModel::Granted(arrival) = self.claims[claim.0 as usize] {
                    self.claims[claim.0 as usize] = ClaimModel::Revoked(arrival);
                }
                Ok(())
            }
            Place::Acquiring { claim: of, ticket, told: false, denied: false } if of == claim => {
                seen.see("on_acquire is told to give up");
                self.model(slot).place = Place::Acquiring { claim, ticket, told: true, denied: false };
                Ok(())
            }
            place => Err(format!("C5: {claim:?} loses {slot:?}, which is {place:?}")),
        }
    }

    fn perform_deny(&mut self, claim: ClaimId) -> Result<(), String> {
        match self.claims[claim.0 as usize] {
            ClaimModel::Asking(_) | ClaimModel::Waiting(_) => {}
            // Only the end, or its own return after its deadline, denies a claim that does not queue.
            ClaimModel::Revoked(_) => {
                ensure(self.ended, || format!("C5: {claim:?} is denied without waiting"))?;
            }
            ClaimModel::Acquiring if self.ended => {
                for slot in self.slots.values_mut() {
                    if let Place::Acquiring { claim: of, ticket, told, denied: false } = slot.place
                        && of == claim
                    {
                        slot.place = Place::Acquiring { claim, ticket, told, denied: true };
                    }
                }
            }
            other @ (ClaimModel::Free | ClaimModel::Granted(_) | ClaimModel::Acquiring) => {
                return Err(format!("C5: {claim:?} is denied but {other:?}"));
            }
        }
        self.claims[claim.0 as usize] = ClaimModel::Free;
        Ok(())
    }

    /// What has to be true once all actions are carried out.
    fn conclude(&mut self, without_before: usize) -> Result<(), String> {
        for index in 0..self.claims.len() {
            if let ClaimModel::Asking(arrival) = self.claims[index] {
                let most = self.machine.policy().max_waiting;
                ensure(without_before < most, || format!("C7: a claim queues behind {without_before}"))?;
                self.claims[index] = ClaimModel::Waiting(arrival);
            }
        }
        for (slot, model) in &self.slots {
            let kind = self.machine.slot_kind(*slot);
            let kind = kind.ok_or_else(|| format!("C3: {slot:?} is forgotten with {model:?}"))?;
            let fits = match kind {
                SlotKind::Connecting => model.operation == Some((Operation::Connect, false)),
                SlotKind::Checking => model.operation == Some((Operation::Check, false)),
                SlotKind::Recycling => model.operation == Some((Operation::Recycle, false)),
                SlotKind::Closing => model.operation == Some((Operation::Close, false)),
                SlotKind::Aborting => model.operation.is_some_and(|(_, aborted)| aborted),
                SlotKind::Unclaimed => model.operation.is_none() && model.place == Place::Shelf,
                SlotKind::Granted => matches!(model.place, Place::Seat(..)),
                SlotKind::Acquiring => matches!(model.place, Place::Acquiring { .. }),
                SlotKind::Claimed => matches!(model.place, Place::Fresh(_) | Place::Claimer),
            };
            ensure(fits, || format!("C3: {slot:?} is {kind:?}, but in truth {model:?}"))?;
        }
        let known = self.machine.wanted().total() + self.machine.draining().total();
        ensure(known as usize == self.slots.len(), || {
            format!("C3: the machine knows {known} slots of {}", self.slots.len())
        })
    }

    fn check_state(&self) -> Result<(), String> {
        if let Some(deadline) = self.machine.deadline() {
            ensure(deadline > self.now, || {
                format!("C2: the deadline {deadline} is not later than {}", self.now)
            })?;
        }
        self.machine.audit()?;
        if self.ended {
            let without = self.claims.iter().any(|claim| *claim != ClaimModel::Free);
            ensure(!without, || format!("C10: somebody is left waiting: {:?}", self.claims))?;
            let working = self
                .slots
                .values()
                .any(|slot| slot.operation.is_some() || matches!(slot.place, Place::Shelf | Place::Seat(..)));
            ensure(working || self.stopped, || "C10: nothing is left to do, but no stop".to_owned())?;
        } else if self.waiting() > 0 {
            let views: Vec<_> = self.machine.census().collect();
            let sound = views.iter().any(|view| view.in_set && !view.suspect && view.counts.connected() > 0);
            let idle = views.iter().find(|view| {
                view.in_set && (!view.suspect || !sound) && view.counts.of(SlotKind::Unclaimed) > 0
            });
            ensure(idle.is_none(), || format!("C6: somebody waits beside {idle:?}"))?;
        }
        Ok(())
    }

    fn notice(&self, seen: &mut Sometimes) {
        let running = |wanted| self.slots.values().any(|slot| slot.operation == Some((wanted, false)));
        if running(Operation::Close) && running(Operation::Connect) {
            seen.see("a close is pending while another slot connects");
        }
        let views: Vec<_> = self.machine.census().collect();
        if views.iter().any(|view| view.failures > 0 && view.counts.connected() > 0) {
            seen.see("a probe succeeds");
        }
        let full = self.slots.len() == self.size.slots;
        if full
            && running(Operation::Close)
            && views.iter().any(|view| view.in_set && view.counts.total() == 0)
        {
            seen.see("a slot is moved at the cap");
        }
        if self.waiting() > 0
            && views.iter().any(|view| view.in_set && view.counts.of(SlotKind::Unclaimed) > 0)
        {
            seen.see("a suspect is passed over");
        }
    }

    /// Everything that can happen, so that a random walk can draw from it too.
    #[must_use]
    pub fn possible(&self) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.ended {
            let every = (1 << self.size.backends) - 1;
            for published in 0..=every {
                let allowed = self.freedom.membership || (published == every && self.published == 0);
                if allowed && published != self.published {
                    events.push(Event::Backends(self.set(published)));
                }
            }
            if self.freedom.shutdown {
                events.push(Event::ShutDown);
            }
        }
        if self.outstanding() < self.size.claims
            && let Some(claim) = self.free_claim()
        {
            let timeout = self.machine.policy().claim_timeout;
            // The first claim is patient, so that C9 and C11 mean something; another may give up.
            let gives_up = claim.0 > 0 && self.freedom.deadlines;
            let deadline = if gives_up { self.now.after(timeout) } else { Timestamp::NEVER };
            events.push(Event::Claim { claim, deadline });
            events.push(Event::Claim { claim, deadline: self.now });
        }
        for (index, claim) in (0..).map(ClaimId).zip(&self.claims) {
            match claim {
                ClaimModel::Waiting(_) => events.push(Event::Cancelled(index)),
                ClaimModel::Granted(_) => events.extend([Event::Fetched(index), Event::Cancelled(index)]),
                ClaimModel::Revoked(_) => events.extend([Event::Resume(index), Event::Cancelled(index)]),
                ClaimModel::Free | ClaimModel::Asking(_) | ClaimModel::Acquiring => {}
            }
        }
        for (slot, model) in &self.slots {
            self.possible_of_slot(*slot, model, &mut events);
        }
        if self.machine.deadline().is_some() {
            events.push(Event::Tick);
        }
        events
    }

    fn possible_of_slot(&self, slot: SlotId, model: &SlotModel, events: &mut Vec<Event>) {
        match model.operation {
            Some((Operation::Close, _)) => events.push(Event::Closed(slot)),
            Some((operation, aborted)) => {
                let completed = |result| match operation {
                    Operation::Connect => Event::Connected(slot, result),
                    Operation::Check => Event::Checked(slot, result),
                    Operation::Recycle | Operation::Close => Event::Recycled(slot, result),
                };
                let failure = if aborted { Failure::Aborted } else { Failure::Error };
                events.extend([completed(Ok(())), completed(Err(failure))]);
            }
            None => {}
        }
        match model.place {
            Place::Claimer => {
                let hows = [Return::Intact, Return::Recycling, Return::Broken, Return::Detached];
                events.extend(hows.map(|how| Event::Returned(slot, how)));
            }
            Place::Fresh(ticket) => {
                let hows = [Return::Intact, Return::Recycling, Return::Broken, Return::Detached];
                events.extend(hows.map(|how| Event::Returned(slot, how)));
                if let Some(claim) = self.free_claim().filter(|_| self.freedom.acquire) {
                    let failure = Failure::Error;
                    events.push(Event::AcquirePending { slot, claim, ticket });
                    events.push(Event::AcquireFailed { slot, claim, ticket, failure });
                }
            }
            Place::Acquiring { denied: true, .. } => events.push(Event::Returned(slot, Return::Abandoned)),
            Place::Acquiring { claim, ticket, told, .. } => {
                events.push(Event::Returned(slot, Return::Abandoned));
                let failure = if told { Failure::TimedOut } else { Failure::Error };
                events.push(Event::AcquireFailed { slot, claim, ticket, failure });
                if !told {
                    events.push(Event::Acquired(slot));
                }
            }
            Place::Away | Place::Shelf | Place::Seat(..) => {}
        }
    }

    /// From here on the world behaves (`only`: that backend does, and the others answer nothing), and
    /// whoever waits without a deadline has to be served.
    fn serves_everybody(mut self, only: Option<u16>) -> Result<(), String> {
        self.trusting = true;
        let rule = if only.is_some() { "C11" } else { "C9" };
        let mut ignored = Sometimes::new(SOMETIMES);
        if self.published == 0 {
            self.step(Event::Backends(self.set(1)), &mut ignored)?;
        }
        for _ in 0..200 {
            if self.waiting() == 0 {
                return Ok(());
            }
            let event = self.behaving(only);
            self.step(event, &mut ignored).map_err(|broken| format!("{broken} (while behaving)"))?;
        }
        Err(format!("{rule}: somebody waits for ever: {:?} {:?} behaving: {only:?}", self.claims, self.slots))
    }

    /// The next thing that happens when the world behaves: whatever can end well does, and only when
    /// nothing is left to end does time pass.
    fn behaving(&self, only: Option<u16>) -> Event {
        for (claim, model) in (0..).map(ClaimId).zip(&self.claims) {
            if matches!(model, ClaimModel::Granted(_)) {
                return Event::Fetched(claim);
            }
        }
        for (slot, model) in &self.slots {
            let slot = *slot;
            let answers = only.is_none_or(|only| self.bit(model.backend) == 1 << only);
            match (model.operation, model.place) {
                (Some((Operation::Close, _)), _) => return Event::Closed(slot),
                (Some((Operation::Connect, true)), _) => {
                    return Event::Connected(slot, Err(Failure::Aborted));
                }
                (Some((Operation::Check, true)), _) => return Event::Checked(slot, Err(Failure::Aborted)),
                (Some((Operation::Recycle, true)), _) => {
                    return Event::Recycled(slot, Err(Failure::Aborted));
                }
                (Some((Operation::Connect, _)), _) if answers => return Event::Connected(slot, Ok(())),
                (Some((Operation::Check, _)), _) if answers => return Event::Checked(slot, Ok(())),
                (Some((Operation::Recycle, _)), _) if answers => return Event::Recycled(slot, Ok(())),
                (_, Place::Fresh(_) | Place::Claimer) => return Event::Returned(slot, Return::Intact),
                (_, Place::Acquiring { denied: true, .. }) => {
                    return Event::Returned(slot, Return::Abandoned);
                }
                (_, Place::Acquiring { claim, ticket, told: true, .. }) => {
                    return Event::AcquireFailed { slot, claim, ticket, failure: Failure::TimedOut };
                }
                (_, Place::Acquiring { .. }) => return Event::Acquired(slot),
                (_, Place::Away | Place::Shelf | Place::Seat(..)) => {}
            }
        }
        Event::Tick
    }
}

impl World for PoolWorld {
    type Step = Event;

    fn enabled(&self) -> Vec<Event> {
        self.possible()
    }

    fn take(&mut self, step: Event, seen: &mut Sometimes) -> Result<(), String> {
        self.step(step, seen)
    }

    fn fingerprint(&self) -> u128 {
        let canonical = self.machine.canonical();
        let mut words = canonical.words;
        let place = |wanted: &ClaimId| canonical.claims.iter().position(|claim| claim == wanted);
        let waiting: Vec<u64> = self
            .claims
            .iter()
            .filter_map(|claim| match claim {
                ClaimModel::Waiting(arrival)
                | ClaimModel::Revoked(arrival)
                | ClaimModel::Granted(arrival) => Some(*arrival),
                ClaimModel::Free | ClaimModel::Asking(_) | ClaimModel::Acquiring => None,
            })
            .collect();
        for slot in &canonical.slots {
            let model = &self.slots[slot];
            let (operation, aborted) =
                model.operation.map_or((9, false), |(op, aborted)| (op as u64, aborted));
            words.extend([operation, u64::from(aborted)]);
            let (tag, ticket) = match model.place {
                Place::Away => (0, None),
                Place::Shelf => (1, None),
                Place::Seat(claim, _) => (2 + place(&claim).unwrap_or(99) as u64, None),
                Place::Claimer => (200, None),
                Place::Fresh(ticket) => (205, Some(ticket)),
                Place::Acquiring { ticket, told, denied, .. } => {
                    (201 + u64::from(told) + 2 * u64::from(denied), Some(ticket))
                }
            };
            words.push(tag);
            if let Some(ticket) = ticket {
                let rank = waiting.iter().filter(|arrival| **arrival < ticket.arrival).count() as u64;
                let left = if ticket.deadline.is_never() {
                    u64::MAX
                } else {
                    u64::try_from(ticket.deadline.since(self.now).as_nanos()).unwrap_or(u64::MAX)
                };
                words.extend([rank, left, u64::from(ticket.failures)]);
            }
        }
        words.extend([u64::from(self.published), u64::from(self.ended), u64::from(self.stopped)]);
        hash(&words)
    }

    fn liveness(&self) -> Result<(), String> {
        let patient = self.claims.iter().any(|claim| matches!(claim, ClaimModel::Waiting(_)));
        if self.ended || !patient {
            return Ok(());
        }
        self.clone().serves_everybody(None)?;
        for number in (0..self.size.backends).filter(|number| self.published & (1 << number) != 0) {
            self.clone().serves_everybody(Some(number))?;
        }
        Ok(())
    }

    fn tell(&mut self, step: Event) -> String {
        let at = if step == Event::Tick {
            self.machine.deadline().map_or(self.now, |deadline| deadline.max(self.now))
        } else {
            self.now
        };
        let mut text = transcript_event(&self.machine, at, &step);
        let mut twin = self.machine.clone();
        let mut out = Vec::new();
        twin.handle(at, step.clone(), &mut out);
        for action in out.iter().filter(|action| !matches!(action, Action::Note(_))) {
            let _ = write!(text, "\n    {}", Line(action));
        }
        let _ = self.step(step, &mut Sometimes::new(SOMETIMES));
        text
    }
}

fn backend(number: u16) -> Backend {
    Backend::new(format!("b{number}"), ([127, 0, 0, 1], 1000 + number).into())
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

/// Two independent 64-bit hashes side by side.
fn hash(words: &[u64]) -> u128 {
    let fold = |seed: u64| words.iter().fold(seed, |hash, word| dice::mix(hash.rotate_left(7) ^ *word));
    u128::from(fold(0x51_7c_c1_b7_27_22_0a_95)) << 64 | u128::from(fold(0x2545_f491_4f6c_dd1d))
}
