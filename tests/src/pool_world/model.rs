//! What an embedder knows of its slots and claims.

use qorb_core::pool::{BackendId, ClaimId, Ticket};

use crate::operation::Running;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
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

impl Place {
    /// The arrival number of a claim that may have to queue again.
    pub(super) fn arrival(self) -> Option<u64> {
        match self {
            Self::Fresh(ticket) | Self::Acquiring { ticket, .. } => Some(ticket.arrival),
            Self::Away | Self::Shelf | Self::Seat(..) | Self::Claimer => None,
        }
    }

    /// Whether somebody or the shelf has a connection.
    pub(super) fn is_there(self) -> bool {
        self != Self::Away
    }

    pub(super) fn is_in_hand(self) -> bool {
        matches!(self, Self::Fresh(_) | Self::Claimer | Self::Acquiring { .. })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SlotModel {
    pub(super) backend: BackendId,
    pub(super) running: Running,
    pub(super) place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClaimModel {
    Free,
    Asking(Ticket),
    Waiting(Ticket),
    Granted(Ticket),
    Revoked(Ticket),
    Acquiring,
}

impl ClaimModel {
    /// The arrival number of a claim that the machine knows, but for one in `on_acquire`.
    pub(super) fn arrival(self) -> Option<u64> {
        match self {
            Self::Waiting(ticket) | Self::Granted(ticket) | Self::Revoked(ticket) => Some(ticket.arrival),
            Self::Free | Self::Asking(_) | Self::Acquiring => None,
        }
    }
}
