//! A slot: a commitment to hold one connection to one backend.

use super::event::{BackendId, ClaimId, SlotId, SlotKind};
use super::list::{Link, Links, Table};
use crate::time::Timestamp;

/// What a slot is doing, with the data that is legal there.
///
/// Deadlines are kept as the facts they follow from where the policy or the pool's patience may move
/// them, and as times where nothing can.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum SlotState {
    /// A connect runs.
    Connecting {
        /// When it began.
        since: Timestamp,
    },
    /// The connection is on the shelf.
    Unclaimed {
        /// When it came to rest.
        since: Timestamp,
    },
    /// A health check runs.
    Checking {
        /// When it began.
        since: Timestamp,
    },
    /// Granted to a claim that did not fetch it yet.
    Granted {
        /// Whose it is.
        claim: ClaimId,
        /// When it is taken back.
        until: Timestamp,
    },
    /// `on_acquire` runs in the claimer's task.
    Acquiring {
        /// Whose it is.
        claim: ClaimId,
        /// When it is told to give up; never once it was told.
        until: Timestamp,
        /// That is when the claim gives up, before the check would have taken too long.
        impatient: bool,
    },
    /// In a claimer's hands.
    Claimed,
    /// A recycle runs.
    Recycling {
        /// When it began.
        since: Timestamp,
    },
    /// An operation was told to give up.
    Aborting,
    /// The connection is being closed.
    Closing,
}

impl SlotState {
    #[inline]
    pub(crate) fn kind(self) -> SlotKind {
        match self {
            Self::Connecting { .. } => SlotKind::Connecting,
            Self::Unclaimed { .. } => SlotKind::Unclaimed,
            Self::Checking { .. } => SlotKind::Checking,
            Self::Granted { .. } => SlotKind::Granted,
            Self::Acquiring { .. } => SlotKind::Acquiring,
            Self::Claimed => SlotKind::Claimed,
            Self::Recycling { .. } => SlotKind::Recycling,
            Self::Aborting => SlotKind::Aborting,
            Self::Closing => SlotKind::Closing,
        }
    }
}

/// A slot. Aligned, so that a turn touches one line of the cache for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[repr(align(64))]
pub(crate) struct Slot {
    pub(crate) backend: BackendId,
    pub(crate) state: SlotState,
    /// Neighbours among its backend's idle connections.
    pub(crate) idle: Link,
    /// Its connect's number in the order of all the pool's dials, which is what people call the slot: no
    /// other one ever has it.
    pub(crate) dial: u64,
    /// When its connection came to be; the epoch before that.
    pub(crate) connected_at: Timestamp,
    /// Its connection was found good once.
    pub(crate) proven: bool,
    /// The backend's suspicion under which it was granted or its check began, 0 if there was none.
    pub(crate) suspicion: u32,
    /// It waits for its turn to be checked.
    pub(crate) check_queued: bool,
    /// Its own addition to the health interval, in nanoseconds.
    pub(crate) stagger: u64,
}

const _: () = assert!(size_of::<Option<Slot>>() == 64, "a slot fits a line of the cache");

/// All slots, by id.
pub(crate) type Slots = Table<Slot>;

/// The links of idle connections.
pub(crate) struct IdleLinks<'slots>(pub(crate) &'slots mut Slots);

impl Links for IdleLinks<'_> {
    #[inline]
    fn link(&mut self, id: u32) -> &mut Link {
        &mut self.0.at_mut(SlotId(id)).idle
    }
}

/// How many slots are in each state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Counts {
    by_kind: [u32; SlotKind::ALL.len()],
    total: u32,
}

impl Counts {
    /// Slots in this state.
    #[must_use]
    #[inline]
    pub fn of(&self, kind: SlotKind) -> u32 {
        self.by_kind[kind as usize]
    }

    /// Slots in any state.
    #[must_use]
    #[inline]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Slots with a connection that may be of use: neither on their way in nor on their way out.
    #[must_use]
    #[inline]
    pub fn connected(&self) -> u32 {
        self.live() - self.of(SlotKind::Connecting)
    }

    /// Slots that are not on their way out.
    #[must_use]
    #[inline]
    pub fn live(&self) -> u32 {
        self.total - self.of(SlotKind::Aborting) - self.of(SlotKind::Closing)
    }

    /// Slots that a claimer has, or is being given: granted, acquiring, claimed.
    #[must_use]
    #[inline]
    pub fn held(&self) -> u32 {
        self.of(SlotKind::Granted) + self.of(SlotKind::Acquiring) + self.of(SlotKind::Claimed)
    }

    /// Slots that carry load: held or recycling.
    #[must_use]
    #[inline]
    pub fn load(&self) -> u32 {
        self.held() + self.of(SlotKind::Recycling)
    }

    pub(crate) fn enter(&mut self, kind: SlotKind) {
        self.by_kind[kind as usize] += 1;
        self.total += 1;
    }

    pub(crate) fn leave(&mut self, kind: SlotKind) {
        self.by_kind[kind as usize] -= 1;
        self.total -= 1;
    }

    #[inline]
    pub(crate) fn shift(&mut self, from: SlotKind, to: SlotKind) {
        self.by_kind[from as usize] -= 1;
        self.by_kind[to as usize] += 1;
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        for kind in SlotKind::ALL {
            self.by_kind[kind as usize] += other.of(kind);
        }
        self.total += other.total;
    }

    pub(crate) fn release(&mut self, other: &Self) {
        for kind in SlotKind::ALL {
            self.by_kind[kind as usize] -= other.of(kind);
        }
        self.total -= other.total;
    }
}

impl Table<Slot> {
    #[inline]
    pub(crate) fn at(&self, slot: SlotId) -> &Slot {
        self.get(slot.0).unwrap_or_else(|| no_slot())
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: SlotId) -> &mut Slot {
        self.get_mut(slot.0).unwrap_or_else(|| no_slot())
    }
}

/// Out of the way: every turn asks several times.
#[cold]
#[inline(never)]
fn no_slot() -> ! {
    panic!("C3: the slot exists until its last completion")
}
