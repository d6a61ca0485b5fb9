//! What has to be true of a state, whatever led to it.

use qorb_core::pool::PoolMachine;

use super::model::{Place, SlotModel};
use super::{Shadow, ensure};

impl Shadow {
    pub(super) fn check_end(&self) -> Result<(), String> {
        let left = self.without() + self.acquiring + self.granted;
        ensure(left == 0, || format!("C10: {left} claims are left waiting"))?;
        if self.stopped {
            return Ok(());
        }
        let busy =
            |slot: &SlotModel| slot.running.is_some() || matches!(slot.place, Place::Shelf | Place::Seat(_));
        ensure(self.slots.iter().flatten().any(busy), || "C10: nothing is left to do, but no stop".to_owned())
    }

    pub(super) fn check_waiting(&self, machine: &PoolMachine) -> Result<(), String> {
        if self.waiting.is_empty() || self.resting == 0 {
            return Ok(());
        }
        let sound = machine.census().any(|of| of.in_set && !of.suspect && of.counts.connected() > 0);
        let idle = machine.census().find(|view| {
            let of = self.backends[view.id.0 as usize];
            of.wanted && of.resting > 0 && (!view.suspect || !sound || view.counts.load() == 0)
        });
        ensure(idle.is_none(), || format!("C6: somebody waits beside {idle:?}"))
    }
}
