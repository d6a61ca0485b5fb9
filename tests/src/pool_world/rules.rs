//! The contract, checked on what the machine asks for and on the state it leaves.

use std::time::Duration;

use qorb_core::Machine;
use qorb_core::pool::{Action, BackendId, Event, Failure, Note, Return, SlotId, SlotKind, Standing};

use super::{ClaimModel, Place, PoolWorld, Seen, SlotModel, ensure};
use crate::operation::Operation;

impl PoolWorld {
    /// Does what the machine asks for, if it may ask for it.
    pub(super) fn perform(&mut self, action: &Action, event: &Event, seen: &mut Seen) -> Result<(), String> {
        match *action {
            Action::Connect(slot, backend) => self.perform_connect(slot, backend),
            Action::Check(slot) => {
                seen.see("a check runs");
                self.start(slot, Operation::Check, &[Place::Shelf])
            }
            Action::Recycle(slot) => self.start(slot, Operation::Recycle, &[Place::Shelf]),
            Action::Close(slot) => self.start(slot, Operation::Close, &[Place::Shelf, Place::Away]),
            Action::Abort(slot) => {
                let model =
                    self.slots[slot.0 as usize].as_mut().ok_or("C3: abort of a slot that does not exist")?;
                if let (Some((Operation::Recycle, false)), Event::Tick) = (model.running, event) {
                    seen.see("a recycle times out");
                }
                match &mut model.running {
                    Some((operation, aborted)) if *operation != Operation::Close && !*aborted => {
                        *aborted = true;
                        Ok(())
                    }
                    other => Err(format!("C3: abort of {slot:?} with {other:?} running")),
                }
            }
            Action::Grant { claim, slot, ticket } => self.perform_grant(claim, slot, ticket, event, seen),
            Action::Revoke(claim, slot) => self.perform_revoke(claim, slot, seen),
            Action::Deny(claim, denial) => self.perform_deny(claim, denial, event, seen),
            Action::Stopped => {
                ensure(self.ended && !self.stopped, || "C10: stopped twice or unasked".to_owned())?;
                self.stopped = true;
                let in_hands = |slot: &SlotModel| {
                    matches!(slot.place, Place::Fresh(_) | Place::Claimer | Place::Acquiring { .. })
                };
                if self.slots().next().is_some() {
                    seen.see("the pool stops with a handle out");
                }
                ensure(self.slots.iter().flatten().all(in_hands), || "C10: stopped with work left".to_owned())
            }
            Action::Note(Note::Slot { slot, from: Some(from), to: Some(SlotKind::Closing), .. }) => {
                self.notice_closing(slot, from, event, seen);
                Ok(())
            }
            Action::Note(Note::Failed(backend, SlotKind::Connecting, Failure::TimedOut)) => {
                let mut connecting = self.connects().filter(|slot| slot.backend == backend);
                if connecting.all(|slot| self.now.since(slot.since) < self.connect_timeout()) {
                    seen.see("patience ends a connect");
                }
                Ok(())
            }
            Action::Note(_) => Ok(()),
        }
    }

    /// Why a connection is closed that nothing speaks against.
    fn notice_closing(&self, slot: SlotId, from: SlotKind, event: &Event, seen: &mut Seen) {
        let of = self.machine.backend_of(slot);
        let rests = from == SlotKind::Unclaimed;
        // One that was given up is closed for that, however its operation ends.
        let returns = from != SlotKind::Aborting
            && (*event == Event::Returned(slot, Return::Intact) || *event == Event::Recycled(slot, Ok(())));
        if self.ended || !self.wanted(of) || !(rests || returns) {
            return;
        }
        let lacks = self.machine.census().any(|view| {
            let due = view.share > 0 || view.standing != Standing::Up;
            view.in_set && due && view.counts.total() == 0 && view.next_attempt.is_none()
        });
        if *event == Event::Tick && self.is_behind(slot) {
            seen.see("a tier that is closed gives up a connection");
        } else if lacks && self.slots().count() == self.size.slots {
            seen.see("a slot is moved at the cap");
        } else if *event == Event::Tick && rests && !lacks {
            seen.see("the tick sheds a connection");
        }
    }

    /// Connects that run and were not given up.
    fn connects(&self) -> impl Iterator<Item = &SlotModel> {
        self.slots.iter().flatten().filter(|slot| slot.running == Some((Operation::Connect, false)))
    }

    fn connect_timeout(&self) -> Duration {
        self.machine.policy().set_config.connect_timeout
    }

    /// Whether a tier before that of this slot's backend has a connection, and it rests without a share.
    fn is_behind(&self, slot: SlotId) -> bool {
        let of = self.machine.backend_of(slot);
        let before = |priority| {
            let mut views = self.machine.census();
            views.any(|view| view.backend.priority < priority && view.counts.connected() > 0)
        };
        let mut views = self.machine.census().filter(|view| view.id == of && view.in_set && view.share == 0);
        views.any(|view| before(view.backend.priority))
    }

    pub(super) fn perform_connect(&mut self, slot: SlotId, backend: BackendId) -> Result<(), String> {
        ensure(!self.ended, || "C10: a connect after the end".to_owned())?;
        ensure(self.slots[slot.0 as usize].is_none(), || format!("C4: {slot:?} connects but exists"))?;
        ensure(self.slots().count() < self.size.slots, || {
            format!("C7: {} slots, and one more opens", self.slots().count())
        })?;
        let of = self.slots.iter().flatten().filter(|slot| slot.backend == backend).count();
        let max_count = self.machine.policy().set_config.max_count;
        ensure(of < max_count, || format!("C7: {of} slots of {backend:?}, and one more opens"))?;
        ensure(self.wanted(backend), || format!("C5: {backend:?} is dialled but not wanted"))?;
        let running = Some((Operation::Connect, false));
        let (since, place) = (self.now, Place::Away);
        self.slots[slot.0 as usize] = Some(SlotModel { backend, running, since, place });
        Ok(())
    }

    fn start(&mut self, slot: SlotId, operation: Operation, from: &[Place]) -> Result<(), String> {
        ensure(!self.ended || operation == Operation::Close, || {
            format!("C10: {operation:?} starts after the end")
        })?;
        let model =
            self.slots[slot.0 as usize].as_mut().ok_or("C4: an operation on a slot that does not exist")?;
        ensure(model.running.is_none(), || {
            format!("C4: {operation:?} starts on {slot:?} beside {:?}", model.running)
        })?;
        ensure(from.contains(&model.place), || {
            format!("C4: {operation:?} starts on {slot:?} whose connection is {:?}", model.place)
        })?;
        model.running = Some((operation, false));
        model.place = Place::Away;
        Ok(())
    }

    /// What has to be true once all actions are carried out.
    pub(super) fn conclude(&mut self, without_before: usize) -> Result<(), String> {
        self.conclude_claims(without_before)?;
        for (slot, model) in self.slots() {
            let kind = self.machine.slot_kind(slot);
            let kind = kind.ok_or_else(|| format!("C3: {slot:?} is forgotten with {model:?}"))?;
            let fits = match kind {
                SlotKind::Connecting => model.running == Some((Operation::Connect, false)),
                SlotKind::Checking => model.running == Some((Operation::Check, false)),
                SlotKind::Recycling => model.running == Some((Operation::Recycle, false)),
                SlotKind::Closing => model.running == Some((Operation::Close, false)),
                SlotKind::Aborting => model.running.is_some_and(|(_, aborted)| aborted),
                SlotKind::Unclaimed => model.running.is_none() && model.place == Place::Shelf,
                SlotKind::Granted => matches!(model.place, Place::Seat(..)),
                SlotKind::Acquiring => matches!(model.place, Place::Acquiring { .. }),
                SlotKind::Claimed => matches!(model.place, Place::Fresh(_) | Place::Claimer),
            };
            ensure(fits, || format!("C3: {slot:?} is {kind:?}, but in truth {model:?}"))?;
        }
        let known = self.machine.wanted().total() + self.machine.draining().total();
        ensure(known as usize == self.slots().count(), || {
            format!("C3: the machine knows {known} slots of {}", self.slots().count())
        })
    }

    pub(super) fn check_state(&self) -> Result<(), String> {
        if let Some(deadline) = self.machine.deadline() {
            ensure(deadline > self.now, || {
                format!("C2: the deadline {deadline} is not later than {}", self.now)
            })?;
        }
        self.machine.audit()?;
        if self.ended {
            return self.check_end();
        }
        if self.waiting() > 0 || self.turned_away {
            let mut views = self.machine.census();
            let sound =
                self.machine.census().any(|view| view.in_set && !view.suspect && view.counts.connected() > 0);
            let idle = views.find(|view| {
                let offered = !view.suspect || !sound || view.counts.load() == 0;
                view.in_set && offered && view.counts.of(SlotKind::Unclaimed) > 0
            });
            ensure(idle.is_none(), || format!("C6: somebody gets nothing beside {idle:?}"))?;
        }
        self.check_patience()
    }

    /// While somebody waits in front of a pool without a connection, no connect keeps it from a backend that
    /// was never dialled for longer than patience lasts. One that joins later may find that it has grown, so
    /// that worlds whose set changes are left out.
    fn check_patience(&self) -> Result<(), String> {
        let changes = self.freedom.membership || self.freedom.moves;
        if changes || self.waiting() == 0 || self.machine.wanted().connected() > 0 {
            return Ok(());
        }
        let mut views = self.machine.census();
        let untried =
            views.find(|view| view.in_set && view.standing == Standing::Untried && view.counts.total() == 0);
        let Some(untried) = untried else { return Ok(()) };
        let patience = self.size.pace().patience;
        let late = self.connects().find(|slot| self.now.since(slot.since) >= patience);
        ensure(late.is_none(), || {
            format!("C11: {late:?} keeps somebody who waits from {:?}, which was never dialled", untried.id)
        })
    }

    /// Once it has ended, what nobody holds is on its way out, and the end is told when all of that is gone.
    fn check_end(&self) -> Result<(), String> {
        let without = self.claims.iter().any(|claim| *claim != ClaimModel::Free);
        ensure(!without, || format!("C10: somebody is left waiting: {:?}", self.claims))?;
        for (slot, model) in self.slots() {
            let leaves = match model.running {
                None => model.place.is_in_hand(),
                Some((operation, aborted)) => aborted || operation == Operation::Close,
            };
            ensure(leaves, || format!("C10: {slot:?} stays after the end: {model:?}"))?;
        }
        let working = self.slots.iter().flatten().any(|slot| slot.running.is_some());
        ensure(working || self.stopped, || "C10: nothing is left to do, but no stop".to_owned())
    }

    pub(super) fn notice(&self, seen: &mut Seen) {
        let running = |wanted| self.slots.iter().flatten().any(|slot| slot.running == Some((wanted, false)));
        if running(Operation::Close) && running(Operation::Connect) {
            seen.see("a close is pending while another slot connects");
        }
        if self.waiting() > 0
            && self.machine.census().any(|view| view.in_set && view.counts.of(SlotKind::Unclaimed) > 0)
        {
            seen.see("a suspect is passed over");
        }
    }
}
