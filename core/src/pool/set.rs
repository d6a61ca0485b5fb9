//! A slot set: everything the pool knows about one backend.

use super::event::BackendId;
use super::list::{List, Table};
use super::pick::{self, Scale};
use super::plan::Wish;
use super::slot::Counts;
use crate::backend::Backend;
use crate::overwrite::overwritable;
use crate::time::Timestamp;

/// What the pool makes of a backend's connects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    /// No connect to it has ended.
    Untried,
    /// Its last connect failed and no connection lives.
    Down,
    /// Anything else.
    Up,
}

/// One backend's health: what was tried, how it went, and what follows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub(crate) struct Health {
    /// Something failed since the backend last proved itself.
    pub(crate) suspect: bool,
    /// Whether the connect that ended last succeeded, once one has.
    pub(crate) last_connect: Option<bool>,
    /// Failed connects since the backend last proved itself; those under way together count once.
    pub(crate) failures: u32,
    /// No connect before this time.
    pub(crate) next_attempt: Timestamp,
    /// The pool's last dial when a failure was counted: earlier dials' failures are the same one.
    pub(crate) counted_dial: u64,
    /// The backend's last dial in the order of all the pool's, 0 before the first.
    pub(crate) last_dial: u64,
    /// Which suspicion this is (or was the last): what began before it proves nothing.
    pub(crate) suspicion: u32,
    /// A connection was found broken during this suspicion, and the idle ones were sent to be checked.
    pub(crate) swept: bool,
    /// Connections out that were granted under this suspicion.
    pub(crate) suspect_out: u32,
    /// When something failed last.
    pub(crate) last_failure: Timestamp,
}

impl Health {
    pub(crate) const UNTRIED: Self = Self {
        last_connect: None,
        failures: 0,
        next_attempt: Timestamp::EPOCH,
        counted_dial: 0,
        last_dial: 0,
        suspect: false,
        suspicion: 0,
        swept: false,
        suspect_out: 0,
        last_failure: Timestamp::EPOCH,
    };

    /// Whether it may not be dialled yet.
    pub(crate) fn pauses(&self, now: Timestamp) -> bool {
        self.next_attempt > now
    }

    /// The number of the suspicion it is under, 0 if it is under none.
    #[inline]
    pub(crate) fn current_suspicion(&self) -> u32 {
        if self.suspect { self.suspicion } else { 0 }
    }
}

/// The slots of one backend and all that is derived from them. What a turn touches comes first, in two
/// lines of the cache.
#[derive(PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[repr(C, align(64))]
pub(crate) struct SlotSet {
    pub(crate) counts: Counts,
    /// Its idle connections, the most recently used first.
    pub(crate) idle: List,
    /// How many claims more its turn lasts.
    pub(crate) run: u32,
    /// The pick's bucket it is in.
    pub(crate) bucket: Option<u8>,
    /// In the resolver's latest set; otherwise it drains.
    pub(crate) wanted: bool,
    /// Wanted, online and not suspect, as counted by the pool.
    pub(crate) sound: bool,
    /// Wanted, and its idle connections may not be given, as the pick and the plan know.
    pub(crate) withholding: bool,
    /// What the plan in force wants of it.
    pub(crate) wish: Wish,
    /// How its load counts for the pick, given that.
    pub(crate) scale: Scale,
    pub(crate) health: Health,
    pub(crate) backend: Backend,
    /// Its place in the pool's rendezvous order within its tier: lower is served first.
    pub(crate) rank: u64,
}

overwritable!(SlotSet {
    counts,
    idle,
    wish,
    scale,
    run,
    bucket,
    wanted,
    sound,
    withholding,
    health,
    backend,
    rank
});

impl SlotSet {
    pub(crate) fn new(backend: Backend, rank: u64) -> Self {
        Self {
            backend,
            rank,
            wanted: true,
            health: Health::UNTRIED,
            sound: false,
            withholding: false,
            counts: Counts::default(),
            idle: List::EMPTY,
            wish: Wish::default(),
            scale: Scale::of(0),
            run: 0,
            bucket: None,
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.health.last_connect {
            _ if self.counts.connected() > 0 => Standing::Up,
            None => Standing::Untried,
            Some(true) => Standing::Up,
            Some(false) => Standing::Down,
        }
    }

    /// Another plan wants this of it.
    pub(crate) fn wish_for(&mut self, wish: Wish) {
        self.wish = wish;
        self.scale = Scale::of(wish.share);
    }

    /// The pick's bucket that it belongs to if it has something to give.
    #[inline]
    pub(crate) fn bucket_by_load(&self) -> u8 {
        pick::bucket(self.counts.load(), self.wish, self.scale)
    }

    /// One of its connections is picked: a claim of its turn, or the first of its next one.
    #[inline]
    pub(crate) fn take_turn(&mut self) {
        let turn = if self.run > 0 { self.run } else { self.wish.turns };
        self.run = turn.saturating_sub(1);
    }

    /// Whether its idle connections may not be given: it is a suspect that has one out already, and
    /// `sound` backends are online.
    #[inline]
    pub(crate) fn withholds(&self, sound: u32) -> bool {
        self.health.suspect && self.health.suspect_out > 0 && sound > 0
    }

    #[inline]
    pub(crate) fn online(&self) -> bool {
        self.counts.connected() > 0
    }
}

/// All slot sets, by backend id.
pub(crate) type Sets = Table<SlotSet>;

impl Table<SlotSet> {
    #[inline]
    pub(crate) fn at(&self, backend: BackendId) -> &SlotSet {
        self.get(backend.0).unwrap_or_else(|| no_backend())
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, backend: BackendId) -> &mut SlotSet {
        self.get_mut(backend.0).unwrap_or_else(|| no_backend())
    }
}

/// Out of the way: every turn asks several times.
#[cold]
#[inline(never)]
fn no_backend() -> ! {
    panic!("a backend exists as long as one of its slots")
}
