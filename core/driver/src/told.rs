//! The machine, and what it was told lately.
//!
//! Everything that changes the machine goes through here, so that nothing is missing in a log.

#[cfg(feature = "record")]
mod recording;

use std::ops::Deref;
#[cfg(feature = "record")]
use std::path::PathBuf;

use qorb_core::pool::{Action, ClaimId, Event, PoolMachine, SlotId, Turn};
use qorb_core::{Machine, Timestamp};

#[cfg(feature = "record")]
pub(crate) use self::recording::Recording;

/// A machine, which comes first, and its latest events, if somebody asked for them: it is laid out for its place in
/// [`State`](crate::state::State).
#[repr(C)]
pub(crate) struct Told {
    machine: PoolMachine,
    #[cfg(feature = "record")]
    recording: Option<Box<Recording>>,
}

impl Told {
    pub(crate) fn new(machine: PoolMachine) -> Self {
        Self {
            machine,
            #[cfg(feature = "record")]
            recording: None,
        }
    }

    #[inline]
    pub(crate) fn handle(&mut self, now: Timestamp, event: Event, out: &mut Vec<Action>) {
        #[cfg(feature = "record")]
        if let Some(recording) = &mut self.recording {
            return recording.handle(&mut self.machine, now, event, out);
        }
        self.machine.handle(now, event, out);
    }

    /// What the machine asked for in the latest [`Told::handle`] is done, or under way.
    #[inline]
    pub(crate) fn is_obeyed(&mut self) {
        #[cfg(feature = "record")]
        if let Some(recording) = &mut self.recording {
            recording.is_obeyed(&self.machine);
        }
    }

    /// A fault of ours that came to light and that nobody was told of.
    #[cfg(feature = "record")]
    pub(crate) fn breach(&mut self) -> Option<String> {
        self.recording.as_mut()?.found.take()
    }

    /// Whether the machine may be told otherwise than by events: those alone are remembered.
    #[inline]
    fn takes_short_ways(&self) -> bool {
        #[cfg(feature = "record")]
        return self.recording.is_none();
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

    /// Remembers up to so many of the latest events from now on; with 0, none. Should a fault of ours come to
    /// light meanwhile, they are written to `faults`.
    #[cfg(feature = "record")]
    pub(crate) fn record(&mut self, events: usize, faults: Option<PathBuf>) {
        self.recording = (events > 0).then(|| Box::new(Recording::new(&self.machine, events, faults)));
    }

    /// What is remembered.
    #[cfg(feature = "record")]
    pub(crate) fn recording(&self) -> Option<&Recording> {
        self.recording.as_deref()
    }
}

impl Deref for Told {
    type Target = PoolMachine;

    #[inline]
    fn deref(&self) -> &PoolMachine {
        &self.machine
    }
}
