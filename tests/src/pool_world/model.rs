//! What an embedder knows of its slots and claims.

use qorb_core::Timestamp;
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
    /// When it began to connect.
    pub(super) since: Timestamp,
    pub(super) place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClaimModel {
    Free,
    Asking(Ticket),
    /// For the first time.
    Waiting(Ticket),
    /// After a grant that was taken back, or that `on_acquire` did not accept.
    Again(Ticket),
    Granted(Ticket),
    Revoked(Ticket),
    Acquiring,
}

impl ClaimModel {
    /// What a claim that waits has to show.
    pub(super) fn waits(self) -> Option<Ticket> {
        match self {
            Self::Waiting(ticket) | Self::Again(ticket) => Some(ticket),
            Self::Free | Self::Asking(_) | Self::Granted(_) | Self::Revoked(_) | Self::Acquiring => None,
        }
    }

    /// The arrival number of a claim that the machine knows, but for one in `on_acquire`.
    pub(super) fn arrival(self) -> Option<u64> {
        match self {
            Self::Waiting(ticket) | Self::Again(ticket) | Self::Granted(ticket) | Self::Revoked(ticket) => {
                Some(ticket.arrival)
            }
            Self::Free | Self::Asking(_) | Self::Acquiring => None,
        }
    }
}
