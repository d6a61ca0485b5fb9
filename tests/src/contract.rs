//! What the contract says in numbers and words, for everybody who checks it on what an embedder knows.

use qorb_core::Timestamp;
use qorb_core::pool::{Denial, Ticket};

use crate::operation::{Operation, Running};

/// The most actions, notes aside, that one event may have (C7). A claim that was revoked may be answered too.
pub(crate) fn most_actions(slots_before: usize, slots_after: usize, without_before: usize) -> usize {
    2 * (slots_before + slots_after + without_before) + 8
}

/// What there is for claims.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Supply {
    /// Backends in the set.
    backends: usize,
    /// Their slots that are connected.
    connected: u32,
    /// Those among them that are being checked or recycled.
    checking: u32,
}

impl Supply {
    /// Counts the slots of so many backends in the set, each by its operation and by whether somebody or the
    /// shelf has its connection meanwhile.
    pub(crate) fn of(backends: usize, slots: impl Iterator<Item = (Running, bool)>) -> Self {
        let mut supply = Self { backends, ..Self::default() };
        for (running, is_there) in slots {
            let checking = matches!(running, Some((Operation::Check | Operation::Recycle, false)));
            supply.checking += u32::from(checking);
            supply.connected += u32::from(checking || (running.is_none() && is_there));
        }
        supply
    }

    /// Why a claim gets nothing of it now.
    fn denial(self) -> Denial {
        match self {
            Self { backends: 0, .. } => Denial::NoBackends,
            Self { connected: 0, .. } => Denial::NoBackendsOnline,
            Self { checking, .. } => Denial::AllClaimsUsed { checking },
        }
    }
}

/// What decides whether a claim may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plea {
    pub(crate) ticket: Ticket,
    pub(crate) now: Timestamp,
    /// How often `on_acquire` may fail for a claim.
    pub(crate) tries: u8,
    /// Of a claim that queues first: it comes when as many are without a connection as may be.
    pub(crate) is_crowded: bool,
    pub(crate) supply: Supply,
}

impl Plea {
    /// What a claim that has no connection is to be told while the pool runs; `None` where it waits.
    pub(crate) fn answer(&self) -> Option<Denial> {
        let Self { ticket, now, tries, is_crowded, supply } = *self;
        let late = ticket.deadline <= now;
        if ticket.failures >= tries || (late && ticket.failures > 0) {
            Some(Denial::AcquireFailed)
        } else if late {
            Some(supply.denial())
        } else {
            is_crowded.then_some(Denial::TooManyWaiting)
        }
    }
}
