//! Backends that behave and misbehave, claimers that come and go, and a clock, around one machine.

mod claimers;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use qorb_core::dice::Dice;
use qorb_core::pool::{Action, BackendId, Beginning, ClaimId, Event, Failure, PoolMachine, SlotId, Ticket};
use qorb_core::record::{Recorded as _, Recorder};
use qorb_core::{Backend, Machine, Timestamp};

use super::chances::{Chances, Manner, OneIn, one_in};
use super::shadow::{Owed, Shadow};
use super::sights::{Sight, Sights};
pub(super) use claimers::{Claimer, Stage};

/// The log of all that a machine was told, if anybody wants to know.
pub(super) type Told = Option<Recorder<PoolMachine>>;

/// An operation that was aborted ends within this time.
const ABORT: Duration = Duration::from_millis(5);
/// The alarm rings at most so late.
const LAG: Duration = Duration::from_millis(50);
/// Whoever is parked stays away at most so long.
const PARKED: Duration = Duration::from_secs(5);
/// A recount looks at every slot, backend and claim. With so few of them it comes after every event, and else after
/// as many events as there are of those, but no more than are in [`SELDOM`].
const SMALL: u64 = 12;
/// After so many events everything is recounted in a world of any size.
const SELDOM: u64 = 200;
/// What is due when nothing is: it is put off until the world calms down.
const BLOCKED: Timestamp = Timestamp::NEVER;

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    /// The operation of this slot ends, unless another one has begun by then.
    Operation(SlotId, u32),
    /// This claimer does what it does next, unless it has changed its mind by then.
    Claimer(u32, u32),
    /// The set of backends changes.
    Membership,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Connect,
    Check,
    Recycle,
    Close,
}

/// The operation of a slot, the one that runs or the last one.
#[derive(Clone, Copy, Debug)]
struct Operation {
    kind: Kind,
    result: Result<(), Failure>,
    /// The backend it is for, by its number in this world.
    backend: u16,
    number: u32,
    running: bool,
    aborted: bool,
}

/// A machine in its world.
#[derive(Debug)]
pub(super) struct World<'told> {
    pub(super) machine: PoolMachine,
    pub(super) shadow: Shadow,
    pub(super) dice: Dice,
    pub(super) chances: Chances,
    pub(super) events: u64,
    pub(super) granted: u64,
    pub(super) sights: Sights,
    pub(super) claimers: Vec<Claimer>,
    /// Everything is over but for one backend, if it is not all of them that work again.
    pub(super) calm: Option<Option<u16>>,
    now: Timestamp,
    due: BinaryHeap<Reverse<(Timestamp, Due)>>,
    operations: Vec<Operation>,
    /// Each with its manner, and until when it keeps that.
    backends: Vec<(Backend, Manner, Timestamp)>,
    published: u64,
    /// Those that left the set.
    left: u64,
    out: Vec<Action>,
    told: &'told mut Told,
    /// After so many events everything is recounted.
    audit_every: u64,
}

impl<'told> World<'told> {
    pub(super) fn new(chances: Chances, beginning: Beginning, dice: Dice, told: &'told mut Told) -> Self {
        let machine = PoolMachine::begin(beginning).expect("the policies that are drawn are valid");
        let backends = (0..chances.backends).map(|number| (backend(number), Manner::Works, Timestamp::EPOCH));
        let backends = backends.collect();
        let ticket = Ticket { arrival: 0, deadline: Timestamp::EPOCH, failures: 0 };
        let claimer = Claimer { stage: Stage::Away, ticket, number: 0, served: 0 };
        let slots = chances.policy.max_slots.min(256) as u64;
        let size = u64::from(chances.backends) + slots + u64::from(chances.claimers);
        let mut sights = Sights::default();
        sights.meet_policy(&chances.policy);
        let mut world = Self {
            shadow: Shadow::new(chances.policy.clone(), Timestamp::EPOCH),
            machine,
            dice,
            events: 0,
            granted: 0,
            sights,
            claimers: vec![claimer; chances.claimers as usize],
            calm: None,
            now: Timestamp::EPOCH,
            due: BinaryHeap::new(),
            operations: Vec::new(),
            backends,
            published: 0,
            left: 0,
            out: Vec::new(),
            told,
            audit_every: if size <= SMALL { 1 } else { size.min(SELDOM) },
            chances,
        };
        for backend in 0..world.chances.backends {
            world.revalue(backend);
        }
        world.due.push(Reverse((Timestamp::EPOCH, Due::Membership)));
        for claimer in 0..world.chances.claimers {
            let away = world.dice.up_to(world.chances.away);
            world.wakes(claimer, away);
        }
        world
    }

    /// Lets the next thing happen; says whether there was any.
    pub(super) fn advance(&mut self) -> Result<bool, String> {
        let due = self.due.peek().map_or(BLOCKED, |due| due.0.0);
        let deadline = self.machine.deadline().unwrap_or(BLOCKED);
        if due.is_never() && deadline.is_never() {
            return Ok(false);
        }
        if deadline <= due.max(self.now) {
            let lags = self.meets(Sight::LateWake, self.chances.odds.alarm_lags);
            let late = if lags { self.dice.up_to(LAG) } else { Duration::ZERO };
            self.now = self.now.max(deadline).after(late);
            if !lags || !self.may_precede_the_alarm() {
                self.happen(Event::Tick)?;
                return Ok(true);
            }
        }
        let Some(Reverse((at, due))) = self.due.pop() else { return Ok(false) };
        self.now = self.now.max(at);
        match due {
            Due::Operation(slot, number) => self.operation_ends(slot, number)?,
            Due::Claimer(claimer, number) if self.claimers[claimer as usize].number == number => {
                self.act(claimer)?;
            }
            Due::Claimer(..) => {}
            Due::Membership => self.change_set()?,
        }
        if self.meets(Sight::IdleTick, self.chances.odds.idle_ticks) {
            self.happen(Event::Tick)?;
        }
        Ok(true)
    }

    /// Whether something happens whose chances are these; it is counted then.
    pub(super) fn meets(&mut self, sight: Sight, chances: OneIn) -> bool {
        let happens = one_in(&mut self.dice, chances);
        self.sights.meet_if(happens, sight)
    }

    /// Whether the next thing may be told to a machine whose deadline has come: only what is about a claim
    /// that has a seat may not.
    fn may_precede_the_alarm(&self) -> bool {
        match self.due.peek().map(|due| due.0.1) {
            Some(Due::Operation(..) | Due::Membership) => true,
            Some(Due::Claimer(claimer, _)) => self.claimers[claimer as usize].stage == Stage::Away,
            None => false,
        }
    }

    /// The machine is told, and what it asks for is judged and done.
    pub(super) fn happen(&mut self, event: Event) -> Result<(), String> {
        self.events += 1;
        let mut clock = self.now;
        if event != Event::Tick && self.meets(Sight::ClockWentBack, self.chances.odds.clock_skews) {
            clock = Timestamp::from_nanos(self.now.as_nanos().saturating_sub(self.dice.below(1 << 30)));
        }
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        if let Some(told) = self.told.as_mut() {
            told.handle(clock, event.clone(), &mut out);
            out.clear();
        }
        self.shadow.before(&self.machine, clock, &event)?;
        let asking = if let Event::Claim { claim, .. } = event { Some(claim) } else { None };
        self.machine.handle(clock, event, &mut out);
        // The clock that the machine is told is as late as the latest of its events.
        self.now = self.now.max(self.machine.latest());
        for action in &out {
            self.shadow.perform(&self.machine, action)?;
        }
        self.shadow.after(&self.machine, &out)?;
        if self.events.is_multiple_of(self.audit_every) {
            self.audit()?;
        }
        for action in &out {
            self.carry_out(action, asking);
        }
        self.out = out;
        // Whoever was granted a connection at once goes on at once.
        let at_once =
            asking.filter(|claim| matches!(self.claimers[claim.0 as usize].stage, Stage::Holding(_)));
        at_once.map_or(Ok(()), |claim| self.acquire(claim.0))
    }

    /// Recounts everything.
    pub(super) fn audit(&self) -> Result<(), String> {
        self.machine.audit()?;
        self.shadow.compare_all(&self.machine)
    }

    fn carry_out(&mut self, action: &Action, asking: Option<ClaimId>) {
        match *action {
            Action::Connect(slot, backend) => self.start(slot, Kind::Connect, Some(backend)),
            Action::Check(slot) => self.start(slot, Kind::Check, None),
            Action::Recycle(slot) => self.start(slot, Kind::Recycle, None),
            Action::Close(slot) => self.start(slot, Kind::Close, None),
            Action::Abort(slot) => {
                let result = if self.meets(Sight::TooLate, self.chances.odds.too_late) {
                    Ok(())
                } else if self.meets(Sight::FailedAnyway, self.chances.odds.fails_anyway) {
                    Err(if self.dice.below(4) == 0 { Failure::Panicked } else { Failure::Error })
                } else {
                    Err(Failure::Aborted)
                };
                let after = self.dice.up_to(ABORT);
                self.operations[slot.0 as usize].aborted = true;
                self.ends(slot, Some(after), result);
            }
            Action::Grant { claim, slot, ticket } => {
                self.granted += 1;
                let claimer = &mut self.claimers[claim.0 as usize];
                claimer.ticket = ticket;
                if asking == Some(claim) {
                    claimer.stage = Stage::Holding(slot);
                } else {
                    claimer.stage = Stage::Seated(slot);
                    let parked = self.meets(Sight::Parked, self.chances.odds.parks);
                    let most = if parked { PARKED } else { Duration::ZERO };
                    let after = self.dice.up_to(most);
                    self.wakes(claim.0, after);
                }
            }
            Action::Revoke(claim, _) => {
                let stage = self.claimers[claim.0 as usize].stage;
                if let Stage::Acquiring(slot, _) = stage {
                    self.claimers[claim.0 as usize].stage = Stage::Acquiring(slot, true);
                    self.wakes(claim.0, Duration::ZERO);
                } else {
                    self.claimers[claim.0 as usize].stage = Stage::Revoked;
                }
            }
            Action::Deny(claim, _) => {
                // One in `on_acquire` still has its connection to return.
                if !matches!(self.claimers[claim.0 as usize].stage, Stage::Acquiring(..)) {
                    self.goes_away(claim.0);
                }
            }
            Action::Stopped | Action::Note(_) => {}
        }
    }
}

/// Operations.
impl World<'_> {
    fn start(&mut self, slot: SlotId, kind: Kind, backend: Option<BackendId>) {
        let index = slot.0 as usize;
        if let Some(backend) = backend {
            let backend = self.machine.backend(backend).address.port();
            let operation =
                Operation { kind, result: Ok(()), backend, number: 0, running: false, aborted: false };
            if index >= self.operations.len() {
                self.operations.resize(index + 1, operation);
            }
            self.operations[index].backend = backend;
        }
        let operation = &mut self.operations[index];
        (operation.kind, operation.running, operation.aborted) = (kind, true, false);
        let backend = operation.backend;
        let manner = self.manner(backend);
        let (after, result) = self.fate(kind, manner);
        self.ends(slot, after, result);
    }

    /// How long an operation takes, if it ever ends, and how it ends.
    fn fate(&mut self, kind: Kind, manner: Manner) -> (Option<Duration>, Result<(), Failure>) {
        let latency = self.dice.up_to(self.chances.latency);
        if kind == Kind::Close {
            let blocks = self.calm.is_none() && self.meets(Sight::Blocked, self.chances.odds.blocks);
            return ((!blocks).then_some(latency / 4), Ok(()));
        }
        if self.calm.is_none() && self.meets(Sight::Panicked, self.chances.odds.panics) {
            return (Some(latency), Err(Failure::Panicked));
        }
        let accepted = kind != Kind::Connect;
        match manner {
            Manner::Works => {}
            Manner::Slow => self.sights.meet(Sight::Slow),
            Manner::Refuses => self.sights.meet(Sight::Refused),
            Manner::BlackHole => self.sights.meet(Sight::BlackHole),
            Manner::ClosesSoon => _ = self.sights.meet_if(accepted, Sight::ClosedSoon),
            Manner::HalfOpen => _ = self.sights.meet_if(accepted, Sight::HalfOpen),
        }
        match manner {
            Manner::Works => (Some(latency), Ok(())),
            Manner::Slow => (Some(latency * self.chances.slowness), Ok(())),
            Manner::Refuses => (Some(latency / 8), Err(Failure::Error)),
            Manner::BlackHole => (None, Ok(())),
            Manner::ClosesSoon if accepted => (Some(latency / 8), Err(Failure::Error)),
            Manner::HalfOpen if accepted => (None, Ok(())),
            Manner::ClosesSoon | Manner::HalfOpen => (Some(latency), Ok(())),
        }
    }

    fn ends(&mut self, slot: SlotId, after: Option<Duration>, result: Result<(), Failure>) {
        let operation = &mut self.operations[slot.0 as usize];
        operation.number = operation.number.wrapping_add(1);
        operation.result = result;
        if let Some(after) = after {
            let due = Due::Operation(slot, operation.number);
            self.due.push(Reverse((self.now.after(after), due)));
        }
    }

    fn operation_ends(&mut self, slot: SlotId, number: u32) -> Result<(), String> {
        let operation = &mut self.operations[slot.0 as usize];
        if operation.number != number || !operation.running {
            return Ok(());
        }
        operation.running = false;
        let (kind, result) = (operation.kind, operation.result);
        self.happen(match kind {
            Kind::Connect => Event::Connected(slot, result),
            Kind::Check => Event::Checked(slot, result),
            Kind::Recycle => Event::Recycled(slot, result),
            Kind::Close => Event::Closed(slot),
        })
    }
}

/// The weather.
impl World<'_> {
    /// How a backend behaves now; it changes that from time to time.
    fn manner(&mut self, backend: u16) -> Manner {
        let (_, manner, until) = &mut self.backends[backend as usize];
        if self.calm.is_none() && *until <= self.now {
            *manner = self.chances.manners[self.dice.below(self.chances.manners.len() as u64) as usize];
            *until = self.now.after(self.dice.up_to(self.chances.weather));
        }
        *manner
    }

    fn change_set(&mut self) -> Result<(), String> {
        if self.calm.is_some() {
            return Ok(());
        }
        let all = u64::MAX >> (64 - u32::from(self.chances.backends));
        let before = self.published;
        self.published = match self.dice.below(8) {
            _ if self.published == 0 => all,
            0 => 0,
            1 => self.dice.draw() & all,
            2 => all,
            _ => self.published ^ 1 << self.dice.below(u64::from(self.chances.backends)),
        };
        self.sights.meet_if(self.published & self.left != 0, Sight::Flapped);
        self.left = (self.left | before) & !self.published;
        if self.meets(Sight::Revalued, self.chances.odds.revalues) {
            let backend = self.dice.below(u64::from(self.chances.backends)) as u16;
            self.revalue(backend);
        }
        if one_in(&mut self.dice, self.chances.odds.moves) {
            let backend = self.dice.below(u64::from(self.chances.backends)) as u16;
            let stays = (before & self.published) >> backend & 1 == 1;
            let moved = self.relocate(backend);
            self.sights.meet_if(stays && moved, Sight::Moved);
        }
        let after = self.dice.up_to(self.chances.membership);
        self.due.push(Reverse((self.now.after(after), Due::Membership)));
        self.publish(self.published)
    }

    fn publish(&mut self, published: u64) -> Result<(), String> {
        let numbered = (0..).zip(&self.backends);
        let set = numbered.filter(|(number, _)| published >> number & 1 == 1).map(|(_, of)| of.0.clone());
        self.happen(Event::Backends(set.collect()))
    }

    /// Draws a backend's priority and weight.
    fn revalue(&mut self, backend: u16) {
        let mut draw = |count: u16| self.dice.below(u64::from(count)) as u16;
        let (priority, weight) = (draw(self.chances.tiers), draw(self.chances.heaviest));
        let (backend, ..) = &mut self.backends[backend as usize];
        (backend.priority, backend.weight) = (priority, weight);
    }

    /// Draws the host on which a backend is, and says whether that is another one. Its port tells it from others.
    fn relocate(&mut self, backend: u16) -> bool {
        let host = [127, 0, 0, 1 + self.dice.below(4) as u8].into();
        let address = &mut self.backends[backend as usize].0.address;
        let before = address.ip();
        address.set_ip(host);
        before != host
    }

    fn machine_ended(&self) -> bool {
        self.shadow.has_ended()
    }

    /// From now on the world behaves, or one backend does and the others answer nothing.
    pub(super) fn calm_down(&mut self, only: Option<u16>) -> Result<(), String> {
        self.calm = Some(only);
        let owed = match only {
            _ if self.machine_ended() => Owed::Nothing,
            Some(_) => Owed::ByOne,
            None => Owed::ByAll,
        };
        self.shadow.calms_down(owed);
        if let Some(told) = self.told.as_mut() {
            told.remark(&owed.to_string());
        }
        // Whoever behaves is in time.
        let config = &self.chances.policy.set_config;
        let shortest = config.connect_timeout.min(config.health_check_timeout);
        self.chances.latency = self.chances.latency.min(shortest / 2);
        let odds = &mut self.chances.odds;
        (odds.rejects, odds.parks, odds.too_late, odds.detaches, odds.abandons) = (0, 0, 0, 0, 0);
        odds.fails_anyway = 0;
        for (number, (_, manner, _)) in (0..).zip(&mut self.backends) {
            *manner = if only.is_none_or(|only| only == number) { Manner::Works } else { Manner::BlackHole };
        }
        for index in 0..self.operations.len() {
            let operation = self.operations[index];
            let answers = only.is_none_or(|only| only == operation.backend);
            let aborted = operation.aborted;
            if operation.running && (answers || aborted || operation.kind == Kind::Close) {
                let result = if aborted { Err(Failure::Aborted) } else { Ok(()) };
                self.ends(SlotId(index as u32), Some(ABORT), result);
            } else if operation.running {
                self.ends(SlotId(index as u32), None, Ok(()));
            }
        }
        for claimer in 0..self.chances.claimers {
            match self.claimers[claimer as usize].stage {
                Stage::Seated(_) | Stage::Revoked | Stage::Acquiring(..) | Stage::Holding(_) => {
                    self.wakes(claimer, Duration::ZERO);
                }
                // Whoever is away stays away, and whoever waits goes on waiting.
                Stage::Away | Stage::Waiting => {
                    let number = &mut self.claimers[claimer as usize].number;
                    *number = number.wrapping_add(1);
                }
            }
        }
        let all = u64::MAX >> (64 - u32::from(self.chances.backends));
        if self.machine_ended() { Ok(()) } else { self.publish(all) }
    }
}

/// Their names are in the order of their numbers, as a resolver's are that sorts them.
fn backend(number: u16) -> Backend {
    Backend::new(format!("b{number:02}"), ([127, 0, 0, 1], number).into())
}
