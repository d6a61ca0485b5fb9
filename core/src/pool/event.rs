//! What happens to a pool, and what it asks for: the whole interface of the pool machine.

use alloc::vec::Vec;
use core::fmt;

use crate::backend::Backend;
use crate::time::Timestamp;

/// Names a backend for as long as it is in the set or one of its slots lives. The lowest free number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct BackendId(pub u32);

/// Names a slot from its connect to its end. The lowest free number, reused after that; what people
/// see in logs is the slot's serial number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct SlotId(pub u32);

/// Names a claim without a connection: the number of its seat with the embedder, who may use it for
/// another claim once this one fetched its grant, was denied, or was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct ClaimId(pub u32);

/// A claim's place and patience. A grant hands it to the claimer, who shows it again should
/// `on_acquire` fail: so a claim keeps its arrival number, its deadline and its count of failures
/// without the machine having to remember it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Ticket {
    /// Its number in the order of arrival.
    pub arrival: u64,
    /// When it gives up.
    pub deadline: Timestamp,
    /// How often `on_acquire` has failed for it.
    pub failures: u8,
}

/// How an operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Failure {
    /// It ended with an error.
    Error,
    /// It took too long.
    TimedOut,
    /// It panicked.
    Panicked,
    /// It was given up at the machine's request, so it says nothing about the backend.
    Aborted,
}

/// What became of a connection in a claimer's hands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Return {
    /// `on_recycle` passed at once: it can be handed out again.
    Intact,
    /// `on_recycle` is under way.
    Recycling,
    /// It is broken, and the backend is to blame.
    Broken,
    /// It must not be used again, and nobody is to blame.
    Abandoned,
    /// The claimer keeps it; the slot is empty.
    Detached,
}

/// Something that happens to a pool.
///
/// Due timers fire first, and may take back what an event is about: an embedder whose [`Machine::deadline`]
/// has come sends a [`Event::Tick`] before it says anything about a claim that already has a seat.
///
/// [`Machine::deadline`]: crate::Machine::deadline
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The resolver's full latest set.
    Backends(Vec<Backend>),
    /// A claim arrives, its claimer present. It is answered in the same call by a grant, which counts
    /// as fetched, or by a denial; otherwise it waits under this id.
    Claim {
        /// An id that is not in use.
        claim: ClaimId,
        /// When it gives up; a deadline that is not in the future makes it "now or never".
        deadline: Timestamp,
    },
    /// The claimer of a revoked grant is back: the claim queues again, in its old place.
    Resume(ClaimId),
    /// The claimer took its grant; the id is free.
    Fetched(ClaimId),
    /// A waiting, granted or revoked claim's future was dropped. An unfetched connection is back with
    /// the embedder.
    Cancelled(ClaimId),
    /// `on_acquire` did not finish when it was polled first. The claim needs an id again.
    AcquirePending {
        /// The slot it was granted.
        slot: SlotId,
        /// An id that is not in use.
        claim: ClaimId,
        /// From its grant.
        ticket: Ticket,
    },
    /// A pending `on_acquire` passed; the id is free.
    Acquired(SlotId),
    /// `on_acquire` failed, at its first poll or later. The connection is back with the embedder, and
    /// the claim queues again (or is denied) under this id.
    AcquireFailed {
        /// The slot it was granted.
        slot: SlotId,
        /// The id it has from `AcquirePending`, or one that is not in use.
        claim: ClaimId,
        /// From its grant.
        ticket: Ticket,
        /// How it failed.
        failure: Failure,
    },
    /// A claimer is done with a connection, which (unless it was detached) is back with the embedder.
    Returned(SlotId, Return),
    /// The connect of this slot ended.
    Connected(SlotId, Result<(), Failure>),
    /// The health check of this slot ended.
    Checked(SlotId, Result<(), Failure>),
    /// The recycle of this slot ended.
    Recycled(SlotId, Result<(), Failure>),
    /// The connection of this slot is closed.
    Closed(SlotId),
    /// The pool ends.
    ShutDown,
    /// Nothing but the passing of time.
    Tick,
}

/// Why a claim is denied.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Denial {
    /// The resolver knows no backend.
    NoBackends,
    /// Backends are known, but none is connected.
    NoBackendsOnline,
    /// There are connections, all of them in use.
    AllClaimsUsed {
        /// How many of them are being checked or recycled.
        checking: u32,
    },
    /// As many claims wait as may.
    TooManyWaiting,
    /// `on_acquire` failed for the third time, or the deadline passed after it had failed.
    AcquireFailed,
    /// The pool has ended.
    Terminated,
}

/// Something that a pool asks of its embedder.
///
/// Exhaustive on purpose: an embedder that ignores an action breaks C3.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Connect to this backend; answer with `Connected`.
    Connect(SlotId, BackendId),
    /// Check the connection's health; answer with `Checked`.
    Check(SlotId),
    /// Go on with the pending `on_recycle` of the connection just returned; answer with `Recycled`.
    Recycle(SlotId),
    /// Close the connection, if there still is one; answer with `Closed`.
    Close(SlotId),
    /// Give up the running operation at the next opportunity; its own completion still answers.
    Abort(SlotId),
    /// Hand the connection of this slot to the claim.
    Grant {
        /// Who gets it.
        claim: ClaimId,
        /// What it gets.
        slot: SlotId,
        /// Shown again if `on_acquire` pends or fails.
        ticket: Ticket,
    },
    /// Take back what the claim was granted: before it was fetched, the connection rests again and the
    /// claim resumes when its claimer polls; during `on_acquire`, that is given up and answered with
    /// `AcquireFailed`.
    Revoke(ClaimId, SlotId),
    /// Tell the claim that it gets nothing. The id is free, except that a claim in `on_acquire` still
    /// has its connection to return.
    Deny(ClaimId, Denial),
    /// Only connections in claimers' hands are left, and nothing more will be started.
    Stopped,
    /// Something worth observing, already done.
    Note(Note),
}

/// A fact for probes, logs and metrics.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Note {
    /// A slot went from one state to another (`None`: it did not exist before, or does not any more). That
    /// it was granted, fetched and acquired is said by the grant alone.
    Slot {
        /// Which.
        slot: SlotId,
        /// Its backend.
        backend: BackendId,
        /// What it was.
        from: Option<SlotKind>,
        /// What it is.
        to: Option<SlotKind>,
    },
    /// A backend joined the set, new or returned.
    Added(BackendId),
    /// A backend left the set.
    Removed(BackendId),
    /// A backend has its first connection.
    Online(BackendId),
    /// A backend lost its last connection.
    Offline(BackendId),
    /// An operation or a connection of this backend failed, while its slot was in this state.
    Failed(BackendId, SlotKind, Failure),
    /// The backend proved itself: back-off and suspicion are over.
    Recovered(BackendId),
    /// A full plan was made.
    Planned {
        /// Whether it was the rebalance tick that asked for it.
        tick: bool,
    },
}

/// The state of a slot, without its data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SlotKind {
    /// A connect is running.
    Connecting,
    /// The connection rests on the shelf.
    Unclaimed,
    /// A health check is running.
    Checking,
    /// Granted, but the claimer did not come to fetch it yet.
    Granted,
    /// `on_acquire` is running in the claimer's task.
    Acquiring,
    /// In a claimer's hands.
    Claimed,
    /// A recycle is running.
    Recycling,
    /// An operation was given up and has not ended yet.
    Aborting,
    /// The connection is being closed.
    Closing,
}

impl SlotKind {
    /// All of them, in the order of a slot's life.
    pub const ALL: [Self; 9] = [
        Self::Connecting,
        Self::Unclaimed,
        Self::Checking,
        Self::Granted,
        Self::Acquiring,
        Self::Claimed,
        Self::Recycling,
        Self::Aborting,
        Self::Closing,
    ];

    /// Whether a slot in this state has a connection that may be of use.
    #[must_use]
    pub fn is_connected(self) -> bool {
        !matches!(self, Self::Connecting | Self::Aborting | Self::Closing)
    }

    /// Whether a slot in this state is load on its backend: somebody uses its connection, or did until
    /// just now.
    #[must_use]
    pub fn carries_load(self) -> bool {
        matches!(self, Self::Granted | Self::Acquiring | Self::Claimed | Self::Recycling)
    }
}

impl fmt::Debug for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

impl fmt::Debug for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Debug for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}
