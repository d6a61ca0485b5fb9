//! The latest events, behind a copy of the machine as it was before them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use crate::machine::Machine;
use crate::time::Timestamp;

/// Remembers the latest events of a machine, a bounded number of them.
///
/// The copy of the machine follows behind: what is forgotten happens to it. So a machine that is watched costs
/// the work and the memory of two, however long it runs. The actions are not kept: the same state and the
/// same events give them again (C1).
///
/// An event that began and did not end is one that the machine, or who carries out its actions, did not
/// survive. From then on nothing more is remembered, so that what led to it is not forgotten.
#[derive(Clone, Debug)]
pub struct Ring<M: Machine> {
    behind: M,
    events: VecDeque<(Timestamp, M::Event)>,
    most: usize,
    watch: Watch,
    out: Vec<M::Action>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Watch {
    Waiting,
    UnderWay,
    /// An event did not end.
    Over,
}

impl<M: Machine + Clone> Ring<M>
where
    M::Event: Clone,
{
    /// A ring of up to `most` events, at least one, beside `machine` as it is now.
    #[must_use]
    pub fn new(machine: &M, most: usize) -> Self {
        let (behind, most) = (machine.clone(), most.max(1));
        Self { behind, events: VecDeque::new(), most, watch: Watch::Waiting, out: Vec::new() }
    }

    /// This event is about to happen to the machine.
    pub fn begins(&mut self, now: Timestamp, event: &M::Event) {
        self.watch = match self.watch {
            Watch::Waiting => Watch::UnderWay,
            Watch::UnderWay | Watch::Over => Watch::Over,
        };
        if self.watch == Watch::Over {
            return;
        }
        if self.events.len() == self.most
            && let Some((at, oldest)) = self.events.pop_front()
        {
            self.behind.handle(at, oldest, &mut self.out);
            self.out.clear();
        }
        self.events.push_back((now, event.clone()));
    }

    /// The event has happened, and the machine's actions are under way.
    pub fn ended(&mut self) {
        if mem::replace(&mut self.watch, Watch::Waiting) == Watch::Over {
            self.watch = Watch::Over;
        }
    }

    /// Whether an event did not end, and nothing more is remembered.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.watch == Watch::Over
    }

    /// The machine as it was before the events that are remembered, and those.
    #[must_use]
    pub fn into_parts(self) -> (M, VecDeque<(Timestamp, M::Event)>) {
        (self.behind, self.events)
    }
}
