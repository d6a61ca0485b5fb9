//! Which states of the world behave alike: the machine's likeness, and what its embedder knows besides.
//!
//! Claims are not described, for the machine knows of each what the embedder does.

use qorb_core::digest::Digest;
use qorb_core::pool::SlotId;

use super::{Place, PoolWorld, SlotModel};
use crate::operation::Operation;

impl PoolWorld {
    /// A number that is equal for states that behave alike.
    pub(super) fn likeness(&self) -> u128 {
        let known =
            |slot: SlotId| self.slots[slot.0 as usize].as_ref().map_or(0, |model| self.describe(slot, model));
        let mut digest = Digest::EMPTY;
        let machine = self.machine.likeness(known);
        digest.push(machine as u64);
        digest.push((machine >> 64) as u64);
        digest.push(u64::from(self.published) << 2 | u64::from(self.ended) << 1 | u64::from(self.stopped));
        digest.finish()
    }

    /// What the world knows of a slot beyond what the machine does.
    fn describe(&self, slot: SlotId, model: &SlotModel) -> u64 {
        let number = if self.size.numbered { u64::from(slot.0) } else { 0 };
        number << 56 | self.describe_model(model)
    }

    fn describe_model(&self, model: &SlotModel) -> u64 {
        let operation = match model.running {
            None => 0,
            Some((Operation::Connect, true)) => 1,
            // However a check or a recycle ends that was aborted, its connection is closed.
            Some((_, true)) => 2,
            Some((operation, false)) => 3 + operation as u64,
        };
        let (tag, ticket) = match model.place {
            Place::Away => (0, None),
            Place::Shelf => (1, None),
            Place::Seat(..) => (2, None),
            Place::Claimer => (3, None),
            Place::Fresh(ticket) => (4, Some(ticket)),
            Place::Acquiring { ticket, told, denied, .. } => {
                (5 + u64::from(told) + 2 * u64::from(denied), Some(ticket))
            }
        };
        let Some(ticket) = ticket else { return operation << 8 | tag };
        let tickets = self.slots().filter_map(|(_, slot)| slot.place.arrival());
        let arrivals = self.claims.iter().filter_map(|claim| claim.arrival()).chain(tickets);
        let before = arrivals.filter(|arrival| *arrival < ticket.arrival);
        let left = match ticket.deadline.since(self.now) {
            _ if ticket.deadline.is_never() => 99,
            left => left.as_secs(),
        };
        let patience = left << 8 | u64::from(ticket.failures);
        patience << 32 | (before.count() as u64) << 16 | operation << 8 | tag
    }
}
