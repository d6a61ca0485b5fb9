//! An honest embedder of the pool machine, free to let anything happen, that checks the contract on
//! every edge.

mod claims;
mod likeness;
mod model;
mod next;
mod rules;
mod seen;
mod size;

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use qorb_core::dice::Dice;
use qorb_core::pool::{
    Action, BackendId, ClaimId, Event, Line, PoolMachine, Return, SlotId, SlotKind, Standing, Ticket,
    transcript_event,
};
use qorb_core::{Backend, Machine, Timestamp};

use self::model::{ClaimModel, Place, SlotModel};
pub use self::seen::{SOMETIMES, Seen};
pub use self::size::{Freedom, Size};
use crate::contract::most_actions;
use crate::explore::{Progress, Report, World, explore};

/// What must come about in the end: everybody behaves, or only one backend does and the others answer
/// nothing.
const PROMISES: [&str; 6] = ["C9", "C11", "C11", "C11", "C11", "C11"];

/// The step of time. Every time-out is a small multiple of it, so that deadlines take few values.
const UNIT: Duration = Duration::from_secs(1);
/// A world has no more slots or claims.
const MOST: usize = 4;
/// The bit of a set whose tiers are in the opposite order.
const TURNED: u16 = 1 << 8;

/// Walks through every state of a world of this size, or its first `limit` or so, and adds to what was
/// `seen` elsewhere. `progress` is told after every layer.
pub fn walk(
    size: Size,
    freedom: Freedom,
    limit: usize,
    seen: Seen,
    progress: impl FnMut(&Progress),
) -> Report<Seen> {
    explore(&PoolWorld::new(size, freedom), seen, limit, progress)
}

/// What can happen next. Every state has a list of them, so that a set is no more than its bits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The resolver finds the backends of these bits.
    Publish(u16),
    /// Anything else.
    Event(Event),
}

/// A pool machine and a model of all that its embedder is to know.
#[derive(Debug)]
pub struct PoolWorld {
    machine: PoolMachine,
    size: Size,
    freedom: Freedom,
    /// All that may be in the set.
    backends: Rc<[Backend]>,
    now: Timestamp,
    slots: [Option<SlotModel>; MOST],
    claims: [ClaimModel; MOST],
    arrivals: u64,
    published: u16,
    ended: bool,
    stopped: bool,
    /// A claim that just came got nothing.
    turned_away: bool,
    /// The slot that just connected, where the last connect to its backend had failed.
    probed: Option<SlotId>,
    out: Vec<Action>,
}

impl PoolWorld {
    /// A pool to which nothing has happened. Only the dice that always draw the highest make the pause as long
    /// as a step of time.
    #[must_use]
    pub fn new(size: Size, freedom: Freedom) -> Self {
        let machine = PoolMachine::paced(size.policy(), size.pace(), &Dice::Highest, Timestamp::EPOCH)
            .expect("the world's own policy is valid");
        Self {
            machine,
            size,
            freedom,
            backends: backends(size.backends, freedom),
            now: Timestamp::EPOCH,
            slots: [None; MOST],
            claims: [ClaimModel::Free; MOST],
            arrivals: 0,
            published: 0,
            ended: false,
            stopped: false,
            turned_away: false,
            probed: None,
            out: Vec::new(),
        }
    }

    /// The machine, for stories that look inside.
    #[must_use]
    pub fn machine(&self) -> &PoolMachine {
        &self.machine
    }

    fn event(&self, step: &Step) -> Event {
        match step {
            Step::Publish(published) => Event::Backends(self.set(*published)),
            Step::Event(event) => event.clone(),
        }
    }

    fn set(&self, published: u16) -> Vec<Backend> {
        let last = if published & TURNED == 0 { 0 } else { self.size.backends - 1 };
        let numbered = (0..).zip(&*self.backends).filter(|(number, _)| published & (1 << number) != 0);
        numbered.map(|(_, of)| Backend { priority: of.priority.abs_diff(last), ..of.clone() }).collect()
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
    fn outstanding(&self) -> usize {
        let with = self.slots().filter(|(_, slot)| slot.place.is_in_hand()).count();
        let without =
            self.claims.iter().filter(|claim| !matches!(claim, ClaimModel::Free | ClaimModel::Acquiring));
        with + without.count()
    }

    fn slots(&self) -> impl Iterator<Item = (SlotId, &SlotModel)> {
        (0..).map(SlotId).zip(&self.slots).filter_map(|(id, slot)| Some((id, slot.as_ref()?)))
    }

    /// The state of each slot, and the serial that tells it from the next of its number.
    fn kinds(&self) -> [Option<(SlotKind, u64)>; MOST] {
        let ids = |slot| SlotId(slot as u32);
        std::array::from_fn(|slot| Some((self.machine.slot_kind(ids(slot))?, self.machine.serial(ids(slot)))))
    }

    /// Handles an event and carries out what the machine asks for, checking every rule.
    fn step(&mut self, event: &Event, seen: &mut Seen) -> Result<(), String> {
        let expected = self.machine.deadline();
        if *event == Event::Tick {
            self.now = self.now.after(UNIT);
            // Polling takes no time: whoever was not told otherwise by now has its connection for good.
            for slot in self.slots.iter_mut().flatten().filter(|slot| matches!(slot.place, Place::Fresh(_))) {
                slot.place = Place::Claimer;
            }
        }
        let kinds = self.kinds();
        let slots_before = self.slots().count();
        let without_before = self.without();
        self.turned_away = false;
        self.probed = None;
        self.prepare(event, seen);
        let mut out = core::mem::take(&mut self.out);
        out.clear();
        self.machine.handle(self.now, event.clone(), &mut out);
        let actions = out.iter().filter(|action| !matches!(action, Action::Note(_))).count();
        for action in &out {
            self.perform(action, event, seen)?;
        }
        self.out = out;
        let idle = *event == Event::Tick && expected.is_none_or(|at| at > self.now);
        ensure(!idle || actions == 0, || {
            format!("C2: something is due at {}, before {expected:?}", self.now)
        })?;
        let bound = most_actions(slots_before, self.slots().count(), without_before);
        ensure(actions <= bound, || format!("C7: {actions} actions for one event, at most {bound} allowed"))?;
        self.conclude(without_before)?;
        self.notice(seen);
        seen.note_changes(event, kinds, self.kinds());
        self.check_state()
    }

    /// What the embedder does before it tells the machine.
    fn prepare(&mut self, event: &Event, seen: &mut Seen) {
        match *event {
            Event::Claim { claim, deadline } => {
                self.arrivals += 1;
                let ticket = Ticket { arrival: self.arrivals, deadline, failures: 0 };
                self.claims[claim.0 as usize] = ClaimModel::Asking(ticket);
            }
            Event::Resume(claim) => {
                if let ClaimModel::Revoked(ticket) = self.claims[claim.0 as usize] {
                    self.claims[claim.0 as usize] = ClaimModel::Again(ticket);
                }
            }
            Event::Fetched(claim) => {
                self.claims[claim.0 as usize] = ClaimModel::Free;
                for slot in self.slots.iter_mut().flatten() {
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
                for slot in self.slots.iter_mut().flatten().filter(seated) {
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
                let ticket = Ticket { failures: ticket.failures + 1, ..ticket };
                self.claims[claim.0 as usize] = ClaimModel::Again(ticket);
                self.model(slot).place = Place::Shelf;
            }
            Event::Returned(slot, Return::Detached) => {
                self.free_seat(slot);
                self.slots[slot.0 as usize] = None;
            }
            Event::Returned(slot, _) => {
                self.free_seat(slot);
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

    /// A grant that comes back was fetched in between.
    fn free_seat(&mut self, slot: SlotId) {
        if let Place::Seat(claim, _) = self.model(slot).place {
            self.claims[claim.0 as usize] = ClaimModel::Free;
        }
    }

    /// An operation has ended; its connection is back with the embedder, if it left one.
    fn prepare_end(&mut self, slot: SlotId, event: &Event, seen: &mut Seen) {
        let backend = self.model(slot).backend;
        let is_down = self.machine.census().any(|view| view.id == backend && view.standing == Standing::Down);
        let model = self.model(slot);
        let aborted = model.running.take().is_some_and(|(_, aborted)| aborted);
        let failed = matches!(event, Event::Checked(_, Err(_)) | Event::Recycled(_, Err(_)));
        model.place = if failed { Place::Away } else { Place::Shelf };
        if matches!(event, Event::Closed(_) | Event::Connected(_, Err(_))) {
            self.slots[slot.0 as usize] = None;
        } else if aborted && matches!(event, Event::Connected(..)) {
            seen.see("an aborted connect succeeds all the same");
        } else if is_down && matches!(event, Event::Connected(..)) {
            seen.see("a probe succeeds");
            self.probed = Some(slot);
        }
    }

    fn prepare_set(&mut self, set: &[Backend], seen: &mut Seen) {
        let before = self.published;
        let numbered = (0..).zip(&*self.backends);
        let known = numbered.filter(|(_, of)| set.iter().any(|other| other.identity() == of.identity()));
        self.published = known.map(|(number, _)| 1 << number).sum();
        let turned = set.iter().any(|of| !self.backends.contains(of));
        self.published |= if turned { TURNED } else { 0 };
        let back = self.slots.iter().flatten().any(|slot| {
            let held = matches!(slot.place, Place::Fresh(_) | Place::Claimer);
            held && self.published & !before & self.bit(slot.backend) != 0
        });
        if back {
            seen.see("a backend returns while its connection is held");
        }
        let moved = 1 | 1 << self.size.backends;
        if (before ^ self.published) & moved == moved && self.slots().any(|(_, slot)| slot.place.is_in_hand())
        {
            seen.see("a backend moves while a connection is held");
        }
    }

    fn model(&mut self, slot: SlotId) -> &mut SlotModel {
        self.slots[slot.0 as usize].as_mut().expect("the world asks only about slots that exist")
    }
}

impl Clone for PoolWorld {
    fn clone(&self) -> Self {
        let (machine, backends, out) = (self.machine.clone(), Rc::clone(&self.backends), Vec::new());
        Self { machine, backends, out, ..*self }
    }

    /// Worlds of one exploration differ in their state alone, and the memory for it is used again.
    fn clone_from(&mut self, other: &Self) {
        self.machine.clone_from(&other.machine);
        (self.now, self.slots, self.claims) = (other.now, other.slots, other.claims);
        (self.arrivals, self.published) = (other.arrivals, other.published);
        (self.ended, self.stopped) = (other.ended, other.stopped);
    }
}

impl World for PoolWorld {
    type Step = Step;
    type Seen = Seen;

    fn enabled(&self, steps: &mut Vec<Step>) {
        self.possible(steps);
    }

    fn take(&mut self, step: &Step, seen: &mut Seen) -> Result<(), String> {
        self.step(&self.event(step), seen)
    }

    /// The same event once more, and again with a clock that has gone back where that must not matter.
    fn repeat(&self, step: &Step, led_to: &Self, twin: &mut Self) -> Result<(), String> {
        let event = self.event(step);
        let mut again = |rule: &str, at| {
            twin.machine.clone_from(&self.machine);
            twin.out.clear();
            twin.machine.handle(at, event.clone(), &mut twin.out);
            let same = twin.out == led_to.out;
            ensure(same, || format!("{rule}: other actions the second time, at {at}: {:?}", twin.out))?;
            ensure(twin.machine == led_to.machine, || {
                format!("{rule}: another state the second time, at {at}")
            })
        };
        again("C1", led_to.now)?;
        if event == Event::Tick { Ok(()) } else { again("C8", Timestamp::EPOCH) }
    }

    fn fingerprint(&self) -> u128 {
        self.likeness()
    }

    fn repeated(&self) -> u64 {
        self.size.repeated
    }

    fn is_compared(&self, step: &Step) -> bool {
        self.size.numbered || *step != Step::Event(Event::Tick)
    }

    fn promises(&self) -> &'static [&'static str] {
        &PROMISES[..=self.backends.len()]
    }

    fn pursue(&self, promise: usize) -> Option<Step> {
        if self.ended || self.claims.iter().all(|claim| claim.arrival().is_none()) {
            return None;
        }
        let only = promise.checked_sub(1).map(|number| 1 << number);
        if self.published == 0 && only.is_none() {
            return Some(Step::Publish((1 << self.size.backends) - 1));
        }
        only.is_none_or(|only| self.published & only != 0).then(|| Step::Event(self.behaving(only)))
    }

    fn tell(&mut self, step: &Step) -> String {
        let event = self.event(step);
        let at = if event == Event::Tick { self.now.after(UNIT) } else { self.now };
        let mut text = transcript_event(&self.machine, at, &event);
        let broken = self.step(&event, &mut Seen::default());
        for action in self.out.iter().filter(|action| !matches!(action, Action::Note(_))) {
            let _ = write!(text, "\n    {}", Line(action));
        }
        if let Err(rule) = broken {
            let _ = write!(text, "\n{rule}");
        }
        text
    }
}

/// So many backends, and the first one where it may move to.
fn backends(count: u16, freedom: Freedom) -> Rc<[Backend]> {
    let backend = |name: u16, port: u16| {
        let priority = if freedom.tiers { name } else { 0 };
        Backend { priority, ..Backend::new(format!("b{name}"), ([127, 0, 0, 1], port).into()) }
    };
    let moved = freedom.moves.then(|| backend(0, 2000));
    (0..count).map(|number| backend(number, 1000 + number)).chain(moved).collect()
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
