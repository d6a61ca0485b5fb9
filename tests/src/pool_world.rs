//! An honest embedder of the pool machine, free to let anything happen, that checks the contract on
//! every edge.

mod next;
mod rules;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use qorb_core::pool::{
    Action, BackendId, ClaimId, Event, Line, Policy, PoolMachine, Return, SetConfig, SlotId, Ticket,
    transcript_event,
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
        let tick = *event == Event::Tick;
        let (rule, at) = if tick { ("C1: ", self.now) } else { ("C1: or C8: ", Timestamp::EPOCH) };
        let mut again = Vec::with_capacity(out.len());
        twin.handle(at, event.clone(), &mut again);
        ensure(again == out, || format!("{rule}other actions the second time, at {at}: {again:?}"))?;
        ensure(twin == self.machine, || format!("{rule}another state the second time, at {at}"))
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
            Event::Connected(slot, _)
            | Event::Checked(slot, _)
            | Event::Recycled(slot, _)
            | Event::Closed(slot) => self.prepare_end(slot, event, seen),
            Event::ShutDown => self.ended = true,
            Event::Backends(ref set) => self.prepare_set(set, seen),
            Event::Tick => {}
        }
    }

    /// An operation has ended; its connection is back with the embedder, if it left one.
    fn prepare_end(&mut self, slot: SlotId, event: &Event, seen: &mut Sometimes) {
        let model = self.model(slot);
        let aborted = model.operation.take().is_some_and(|(_, aborted)| aborted);
        let failed = matches!(event, Event::Checked(_, Err(_)) | Event::Recycled(_, Err(_)));
        model.place = if failed { Place::Away } else { Place::Shelf };
        if matches!(event, Event::Closed(_) | Event::Connected(_, Err(_))) {
            self.slots.remove(&slot);
        } else if aborted && matches!(event, Event::Connected(..)) {
            seen.see("an aborted connect succeeds all the same");
        }
    }

    fn prepare_set(&mut self, set: &[Backend], seen: &mut Sometimes) {
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

    fn model(&mut self, slot: SlotId) -> &mut SlotModel {
        self.slots.get_mut(&slot).expect("the world asks only about slots that exist")
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
