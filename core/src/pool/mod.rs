//! The pool machine: which connections exist, who gets them, and when.
//!
//! The cast, in the order in which an event meets them:
//!
//! - [`event`](Event): the interface: events, actions, notes, ids.
//! - [`policy`](Policy): what the owner chose; [`pace`](Pace): what nobody has to choose.
//! - `express`: the turns that every request takes, without a detour.
//! - `claims`: claims come, are granted, fetched, cancelled, denied.
//! - `operations`: connects, checks, recycles and closes end, and connections are returned.
//! - `membership`: the resolver's set changes; the pool ends.
//! - `health`: what failures and successes say about a backend; `backoff` is the pause.
//! - `follow`: settling: the plan is followed by opening what it wants; `plan` is the wish, `balance`
//!   moves slots at the cap and sheds what is too much, and what tiers have left that are closed.
//! - `enter`: the one way from state to state, for every slot.
//! - `slot`, `set`, `queue`, `pick`, `timers`, `list`: what is remembered, so that nothing is searched.
//! - `view`: what there is to see of it; `explain`: why that is so.
//! - `audit`: recounts everything; `likeness` tells which states behave alike.
//! - `text`: how all of it reads in a transcript; `record`: how that is read back.

mod audit;
mod backoff;
mod balance;
mod claims;
mod enter;
mod event;
mod explain;
mod express;
mod follow;
mod health;
mod likeness;
mod list;
mod membership;
mod operations;
mod pace;
mod pick;
mod plan;
mod policy;
mod queue;
#[cfg(feature = "record")]
mod record;
mod set;
mod slot;
mod text;
mod timers;
mod view;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

pub use event::{Action, BackendId, ClaimId, Denial, Event, Failure, Note, Return, SlotId, SlotKind, Ticket};
pub use explain::{Gap, Intent, Position};
pub use express::Turn;
pub use pace::Pace;
pub use policy::{Policy, PolicyError, SetConfig};
#[cfg(feature = "record")]
pub use record::Beginning;
pub use set::Standing;
pub use slot::Counts;
pub use text::{Line, transcript_event};
pub use view::{BackendView, Reason};

use self::express::Quiet;
use self::follow::Planned;
use self::pick::Pick;
use self::queue::Queue;
use self::set::Sets;
use self::slot::{SlotState, Slots};
use self::timers::Timers;
use crate::dice::Dice;
use crate::machine::Machine;
use crate::overwrite::overwritable;
use crate::time::Timestamp;

/// Where the pool is on its way to its end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
enum Life {
    Running,
    Stopping,
    Stopped,
}

/// How long a connect may take while claims wait in front of a pool without a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Patience {
    span: Duration,
    /// The pool's last dial when the span was set: once every backend was dialled after it, it doubles.
    since_dial: u64,
    /// Whether the span holds at present.
    pressing: bool,
}

/// The pool machine. See [`Machine`] for how to drive it, [`Event`] and [`Action`] for its interface.
#[derive(PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct PoolMachine {
    // What turns write comes first, in two lines of the cache where the machine begins behind 24 bytes: those
    // that wait need one, those that do not need both. What is only read follows.
    now: Timestamp,
    arrivals: u64,
    /// When the first of all timers rings, as of the last event.
    next_due: Timestamp,
    queue: Queue,
    /// How much may happen before anything else has to follow, as of the last event that changed more.
    quiet: Quiet,
    pick: Pick,
    /// Slots of backends in the set.
    wanted: Counts,
    rebalance_at: Timestamp,
    slots: Slots,
    sets: Sets,
    slot_timers: Timers,

    policy: Policy,
    pace: Pace,
    life: Life,
    /// Makes this pool's rendezvous order its own.
    rank_seed: u64,
    backoff_dice: Dice,
    spread_dice: Dice,
    tier_dice: Dice,
    /// The backends of the resolver's set, by priority, and among equals in rendezvous order.
    order: Vec<BackendId>,
    /// Slots of backends that left it.
    draining: Counts,
    /// Backends in the set that are online and not suspect.
    sound_online: u32,
    set_timers: Timers,
    /// Idle connections due for a check, waiting for others' checks to end.
    overdue: VecDeque<SlotId>,
    dials: u64,
    patience: Patience,
    planned: Planned,
}

overwritable!(PoolMachine {
    now,
    next_due,
    rebalance_at,
    arrivals,
    quiet,
    wanted,
    queue,
    slots,
    sets,
    slot_timers,
    pick,
    policy,
    pace,
    life,
    rank_seed,
    backoff_dice,
    spread_dice,
    tier_dice,
    order,
    draining,
    sound_online,
    set_timers,
    overdue,
    dials,
    patience,
    planned
});

impl PoolMachine {
    /// A pool that knows no backend yet.
    ///
    /// The dice decide the rendezvous order and every jitter: pools that share a fleet of backends must
    /// have different ones.
    ///
    /// # Errors
    ///
    /// Names the field of a policy that has no meaning.
    pub fn new(policy: Policy, dice: &Dice, now: Timestamp) -> Result<Self, PolicyError> {
        Self::paced(policy, Pace::USUAL, dice, now)
    }

    /// The same at another pace.
    ///
    /// # Errors
    ///
    /// Names the field of a policy that has no meaning.
    pub fn paced(policy: Policy, pace: Pace, dice: &Dice, now: Timestamp) -> Result<Self, PolicyError> {
        policy.validate()?;
        let patience = Patience { span: pace.patience, since_dial: 0, pressing: false };
        Ok(Self {
            policy,
            pace,
            now,
            life: Life::Running,
            rank_seed: dice.fork(1).draw(),
            backoff_dice: dice.fork(2),
            spread_dice: dice.fork(3),
            tier_dice: dice.fork(4),
            sets: Sets::new(),
            order: Vec::new(),
            slots: Slots::new(),
            wanted: Counts::default(),
            draining: Counts::default(),
            queue: Queue::new(),
            arrivals: 0,
            pick: Pick::new(),
            sound_online: 0,
            slot_timers: Timers::new(),
            set_timers: Timers::new(),
            rebalance_at: Timestamp::NEVER,
            next_due: Timestamp::NEVER,
            overdue: VecDeque::new(),
            dials: 0,
            patience,
            planned: Planned::NOTHING,
            quiet: Quiet::NOT,
        })
    }

    /// All slots, in the set and draining.
    fn total(&self) -> u32 {
        self.wanted.total() + self.draining.total()
    }

    fn max_slots(&self) -> u32 {
        u32::try_from(self.policy.max_slots).unwrap_or(u32::MAX)
    }

    fn max_count(&self) -> u32 {
        u32::try_from(self.policy.set_config.max_count).unwrap_or(u32::MAX)
    }

    /// When the first of all timers rings.
    fn first_due(&self) -> Timestamp {
        if self.life != Life::Running {
            return Timestamp::NEVER;
        }
        let timers = self.slot_timers.first().min(self.set_timers.first());
        timers
            .min(self.queue.deadline())
            .min(self.rebalance_at)
            .min(self.planned.again_at)
            .min(self.planned.closes_at)
    }

    /// Fires every timer that is due.
    fn fire(&mut self, out: &mut Vec<Action>) {
        while let Some(claim) = self.queue.expired(self.now) {
            self.give_up(claim, out);
        }
        while let Some(slot) = self.slot_timers.pop_due(self.now) {
            self.slot_due(SlotId(slot), out);
        }
        while let Some(backend) = self.set_timers.pop_due(self.now) {
            self.set_due(BackendId(backend), out);
        }
        if self.rebalance_at <= self.now {
            self.rebalance_at = Timestamp::NEVER;
            self.planned.tick = true;
            self.planned.stale = true;
        }
        if self.planned.closes_at <= self.now {
            self.planned.closes_at = Timestamp::NEVER;
            self.planned.closing = true;
            self.planned.stale = true;
        }
        if self.planned.again_at <= self.now {
            self.planned.again_at = Timestamp::NEVER;
            self.planned.stale = true;
        }
    }

    fn apply(&mut self, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Claim { claim, deadline } => self.on_claim(claim, deadline, out),
            Event::Returned(slot, how) => self.on_returned(slot, how, out),
            Event::Fetched(claim) => self.on_fetched(claim, out),
            Event::Resume(claim) => self.on_resume(claim, out),
            Event::Cancelled(claim) => self.on_cancelled(claim, out),
            Event::AcquirePending { slot, claim, ticket } => {
                self.on_acquire_pending(slot, claim, ticket, out);
            }
            Event::Acquired(slot) => self.on_acquired(slot, out),
            Event::AcquireFailed { slot, claim, ticket, failure } => {
                self.on_acquire_failed(slot, claim, ticket, failure, out);
            }
            Event::Connected(slot, result) => self.on_connected(slot, result, out),
            Event::Checked(slot, result) => self.on_checked(slot, result, out),
            Event::Recycled(slot, result) => self.on_recycled(slot, result, out),
            Event::Closed(slot) => self.on_closed(slot, out),
            Event::Backends(backends) => self.on_backends(backends, out),
            Event::ShutDown => self.on_shut_down(out),
            Event::Tick => {}
        }
    }

    /// Restores what must always hold.
    fn settle(&mut self, out: &mut Vec<Action>) {
        if self.life != Life::Running {
            self.finish(out);
            return;
        }
        self.grant_waiting(out);
        if !self.overdue.is_empty() {
            self.check_overdue(out);
        }
        self.follow_plan(out);
        self.press();
    }
}

impl Machine for PoolMachine {
    type Event = Event;
    type Action = Action;

    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Vec<Action>) {
        if self.goes_by_express(now, &event, out) {
            return;
        }
        self.now = self.now.max(now);
        let due = self.next_due <= self.now;
        if due {
            self.fire(out);
        }
        // A connection that was granted already only changes hands, and nothing follows from that.
        let unsettling = due || !matches!(event, Event::Fetched(_) | Event::Acquired(_));
        self.apply(event, out);
        if unsettling {
            self.settle(out);
        }
        self.next_due = self.first_due();
        // Settling may shorten a time-out that has passed already: impatience does.
        while self.next_due <= self.now {
            self.fire(out);
            self.settle(out);
            self.next_due = self.first_due();
        }
        self.quiet = self.quiet();
    }

    fn deadline(&self) -> Option<Timestamp> {
        (!self.next_due.is_never()).then_some(self.next_due)
    }
}
