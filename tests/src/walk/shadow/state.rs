//! What has to be true of a state, whatever led to it.

use qorb_core::pool::{PoolMachine, SlotId};

use super::model::{SlotModel, fits};
use super::{Shadow, ensure};

impl Shadow {
    /// Compares every slot with what the machine thinks of it.
    ///
    /// # Errors
    ///
    /// Says which rule is broken.
    pub fn compare_all(&self, machine: &PoolMachine) -> Result<(), String> {
        (0..self.slots.len() as u32).try_for_each(|slot| self.compare(machine, SlotId(slot)))
    }

    pub(super) fn compare(&self, machine: &PoolMachine, slot: SlotId) -> Result<(), String> {
        let (kind, model) = (machine.slot_kind(slot), self.slots[slot.0 as usize]);
        let fits = match (kind, model) {
            (None, None) => true,
            (Some(kind), Some(model)) => fits(kind, model),
            (Some(_), None) | (None, Some(_)) => false,
        };
        ensure(fits, || format!("C3: {slot:?} is {kind:?}, but in truth {model:?}"))
    }

    pub(super) fn check_end(&self) -> Result<(), String> {
        let left = self.without() + self.acquiring + self.granted;
        ensure(left == 0, || format!("C10: {left} claims are left waiting"))?;
        let resting: usize = self.backends.iter().map(|of| of.resting).sum();
        ensure(resting == 0, || format!("C10: {resting} connections rest after the end"))?;
        if self.stopped {
            return Ok(());
        }
        let busy = |slot: &SlotModel| slot.running.is_some();
        ensure(self.slots.iter().flatten().any(busy), || "C10: nothing is left to do, but no stop".to_owned())
    }

    pub(super) fn check_waiting(&self, machine: &PoolMachine) -> Result<(), String> {
        if (self.waiting.is_empty() && !self.turned_away) || self.resting == 0 {
            return Ok(());
        }
        let sound = machine.census().any(|of| of.in_set && !of.suspect && of.counts.connected() > 0);
        let idle = machine.census().find(|view| {
            let of = self.backends[view.id.0 as usize];
            of.wanted && of.resting > 0 && (!view.suspect || !sound || view.counts.load() == 0)
        });
        ensure(idle.is_none(), || format!("C6: somebody gets nothing beside {idle:?}"))
    }
}
