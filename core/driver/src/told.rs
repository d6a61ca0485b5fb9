//! The machine, and what it was told lately.
//!
//! Everything that changes the machine goes through here, so that nothing is missing in a log.

use std::ops::Deref;

use qorb_core::pool::{Action, ClaimId, Event, PoolMachine, SlotId, Turn};
#[cfg(feature = "record")]
use qorb_core::record::Ring;
use qorb_core::{Machine, Timestamp};

/// A machine whose latest events are remembered, if somebody asked for that.
pub(crate) struct Told {
    machine: PoolMachine,
    #[cfg(feature = "record")]
    ring: Option<Box<Ring<PoolMachine>>>,
}

impl Told {
    pub(crate) fn new(machine: PoolMachine) -> Self {
        Self {
            machine,
            #[cfg(feature = "record")]
            ring: None,
        }
    }

    #[inline]
    pub(crate) fn handle(&mut self, now: Timestamp, event: Event, out: &mut Vec<Action>) {
        #[cfg(feature = "record")]
        if let Some(ring) = &mut self.ring {
            ring.begins(now, &event);
        }
        self.machine.handle(now, event, out);
    }

    /// What the machine asked for in the latest [`Told::handle`] is done, or under way.
    #[inline]
    pub(crate) fn is_obeyed(&mut self) {
        #[cfg(feature = "record")]
        if let Some(ring) = &mut self.ring {
            ring.ended();
        }
    }

    /// Whether the machine may be told otherwise than by events: those alone are remembered.
    #[inline]
    fn takes_short_ways(&self) -> bool {
        #[cfg(feature = "record")]
        return self.ring.is_none();
        #[cfg(not(feature = "record"))]
        return true;
    }

    #[inline]
    pub(crate) fn claim_at_once(&mut self, now: Timestamp) -> Option<(SlotId, u64)> {
        if self.takes_short_ways() { self.machine.claim_at_once(now) } else { None }
    }

    #[inline]
    pub(crate) fn queue_quietly(&mut self, now: Timestamp, claim: ClaimId, deadline: Timestamp) -> bool {
        self.takes_short_ways() && self.machine.queue_quietly(now, claim, deadline)
    }

    #[inline]
    pub(crate) fn take_back(&mut self, now: Timestamp, slot: SlotId) -> Option<Turn> {
        if self.takes_short_ways() { self.machine.take_back(now, slot) } else { None }
    }

    /// Remembers up to so many of the latest events from now on; with 0, none.
    #[cfg(feature = "record")]
    pub(crate) fn record(&mut self, events: usize) {
        self.ring = (events > 0).then(|| Box::new(Ring::new(&self.machine, events)));
    }

    /// What is remembered.
    #[cfg(feature = "record")]
    pub(crate) fn recorded(&self) -> Option<Ring<PoolMachine>> {
        self.ring.as_deref().cloned()
    }
}

impl Deref for Told {
    type Target = PoolMachine;

    #[inline]
    fn deref(&self) -> &PoolMachine {
        &self.machine
    }
}
