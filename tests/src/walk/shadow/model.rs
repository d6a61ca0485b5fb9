//! What an embedder knows of its slots, claims and backends.

use qorb_core::pool::{BackendId, ClaimId, SlotId, SlotKind, Ticket};

use crate::operation::{Operation, Running};

/// Where a slot's connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// There is none, or the operation has it.
    Away,
    Shelf,
    Seat(ClaimId),
    Claimer,
    Acquiring {
        claim: ClaimId,
        told: bool,
        denied: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SlotModel {
    pub(super) backend: BackendId,
    pub(super) running: Running,
    pub(super) place: Place,
    /// Its grant, as long as the claim's `on_acquire` may still fail.
    pub(super) granted: Option<Granted>,
}

/// What a claim was granted a connection by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Granted {
    pub(super) ticket: Ticket,
    /// It came now or never, and nobody said yet how long its `on_acquire` may take.
    pub(super) is_unbounded: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum ClaimModel {
    #[default]
    Free,
    Asking(Ticket),
    Waiting(Ticket),
    Granted(Ticket, SlotId),
    Revoked(Ticket),
    Acquiring,
}

#[derive(Clone, Copy, Default, Debug)]
pub(super) struct BackendModel {
    pub(super) wanted: bool,
    pub(super) slots: usize,
    /// Connections on the shelf.
    pub(super) resting: usize,
}

/// Whether a slot of which this is true may be in this state.
pub(super) fn fits(kind: SlotKind, model: SlotModel) -> bool {
    let runs = |operation| model.running == Some((operation, false));
    match kind {
        SlotKind::Connecting => runs(Operation::Connect),
        SlotKind::Checking => runs(Operation::Check),
        SlotKind::Recycling => runs(Operation::Recycle),
        SlotKind::Closing => runs(Operation::Close),
        SlotKind::Aborting => model.running.is_some_and(|(_, aborted)| aborted),
        SlotKind::Unclaimed => model.running.is_none() && model.place == Place::Shelf,
        SlotKind::Granted => matches!(model.place, Place::Seat(_)),
        SlotKind::Acquiring => matches!(model.place, Place::Acquiring { .. }),
        SlotKind::Claimed => model.place == Place::Claimer,
    }
}
