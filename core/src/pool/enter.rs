//! The one way from state to state: every slot enters each of its states here and nowhere else.
//!
//! Each `enter_*` assigns the state, emits its action, and leaves counters, lists, buckets and timers
//! right, so that no handler has to think of them.

use alloc::vec::Vec;

use super::PoolMachine;
use super::event::{Action, BackendId, ClaimId, Note, SlotId, SlotKind};
use super::list::Link;
use super::set::SlotSet;
use super::slot::{IdleLinks, Slot, SlotState};
use crate::time::{Timestamp, nanos};

impl PoolMachine {
    /// Opens a slot: its connect starts.
    pub(super) fn enter_connecting(&mut self, backend: BackendId, out: &mut Vec<Action>) {
        self.dials += 1;
        let stagger = nanos(self.spread_dice.up_to(self.policy.set_config.spread));
        let slot = SlotId(self.slots.insert(Slot {
            backend,
            state: SlotState::Connecting { since: self.now },
            idle: Link::NONE,
            dial: self.dials,
            connected_at: Timestamp::EPOCH,
            proven: false,
            suspicion: 0,
            check_queued: false,
            stagger,
        }));
        let set = self.sets.at_mut(backend);
        set.health.last_dial = self.dials;
        set.counts.enter(SlotKind::Connecting);
        let totals = if set.wanted { &mut self.wanted } else { &mut self.draining };
        totals.enter(SlotKind::Connecting);
        self.arm(slot);
        let to = Some(SlotKind::Connecting);
        out.push(Action::Note(Note::Slot { slot, backend, from: None, to }));
        out.push(Action::Connect(slot, backend));
    }

    /// A connection comes to rest and may be granted.
    pub(super) fn enter_unclaimed(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        self.transition(slot, SlotState::Unclaimed { since: self.now }, out);
        let set = self.sets.at(self.slots.at(slot).backend);
        if set.counts.live() > set.wish.share {
            self.planned.searched = false;
        }
        self.arm(slot);
    }

    pub(super) fn enter_checking(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        let suspicion = self.suspicion_of(slot);
        self.slots.at_mut(slot).suspicion = suspicion;
        self.transition(slot, SlotState::Checking { since: self.now }, out);
        self.arm(slot);
        out.push(Action::Check(slot));
    }

    /// A connection goes to a claim that waited: its claimer has to come and fetch it.
    pub(super) fn enter_granted(&mut self, slot: SlotId, claim: ClaimId, out: &mut Vec<Action>) {
        let ticket = self.queue.grant(claim, slot);
        let until = self.now.after(self.pace.fetch_timeout).min(ticket.deadline);
        self.transition(slot, SlotState::Granted { claim, until }, out);
        self.arm(slot);
        out.push(Action::Grant { claim, slot, ticket });
    }

    pub(super) fn enter_acquiring(
        &mut self,
        slot: SlotId,
        claim: ClaimId,
        until: Timestamp,
        impatient: bool,
        out: &mut Vec<Action>,
    ) {
        self.transition(slot, SlotState::Acquiring { claim, until, impatient }, out);
        self.arm(slot);
    }

    pub(super) fn enter_claimed(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        self.transition(slot, SlotState::Claimed, out);
    }

    pub(super) fn enter_recycling(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        self.transition(slot, SlotState::Recycling { since: self.now }, out);
        self.arm(slot);
        out.push(Action::Recycle(slot));
    }

    /// The running operation is told to give up; its completion still comes.
    pub(super) fn enter_aborting(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        let backend = self.slots.at(slot).backend;
        let before = self.sets.at(backend).standing();
        self.transition(slot, SlotState::Aborting, out);
        self.slot_ended(backend, before);
        out.push(Action::Abort(slot));
    }

    pub(super) fn enter_closing(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        self.transition(slot, SlotState::Closing, out);
        self.planned.stale = true;
        out.push(Action::Close(slot));
    }

    /// A connection that nobody uses goes back to the shelf if it is still wanted, and is closed if not.
    pub(super) fn rest_or_close(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        if self.keeps(slot) {
            self.enter_unclaimed(slot, out);
        } else {
            self.enter_closing(slot, out);
        }
    }

    /// A slot ends: its last completion has come.
    pub(super) fn leave(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        let ended = self.slots.at_mut(slot);
        let (backend, kind) = (ended.backend, ended.state.kind());
        let set = self.sets.at_mut(backend);
        track_suspicion(ended, set, kind.carries_load(), false);
        self.slot_timers.stop(slot.0);
        let (was_online, before) = (set.online(), set.standing());
        set.counts.leave(kind);
        let totals = if set.wanted { &mut self.wanted } else { &mut self.draining };
        totals.leave(kind);
        self.slots.remove(slot.0);
        self.slot_ended(backend, before);
        out.push(Action::Note(Note::Slot { slot, backend, from: Some(kind), to: None }));
        self.connections_changed(backend, was_online, out);
        self.forget_if_gone(backend);
    }

    /// Puts the backend where the pick should find it.
    #[inline]
    pub(super) fn refresh(&mut self, backend: BackendId) {
        let set = self.sets.at_mut(backend);
        let withholds = set.wanted && set.withholds(self.sound_online);
        self.planned.stale |= withholds != set.withholding;
        set.withholding = withholds;
        let offered = set.idle.len() > 0 && set.wanted && !withholds;
        let bucket = offered.then(|| set.bucket_by_load());
        self.pick.place(backend, set, bucket);
    }

    /// Makes sure that the slot's timer rings by the time something is due. Cheap when it does already.
    pub(super) fn arm(&mut self, slot: SlotId) {
        let due = self.due(slot);
        self.slot_timers.by(slot.0, due);
    }

    /// When something is due for this slot.
    pub(super) fn due(&self, slot: SlotId) -> Timestamp {
        let entry = self.slots.at(slot);
        let config = &self.policy.set_config;
        match entry.state {
            SlotState::Connecting { since } => since.after(self.connect_timeout()),
            SlotState::Unclaimed { since } => since.after(config.health_interval).after_nanos(entry.stagger),
            SlotState::Checking { since } | SlotState::Recycling { since } => {
                since.after(config.health_check_timeout)
            }
            SlotState::Granted { until, .. } | SlotState::Acquiring { until, .. } => until,
            SlotState::Claimed | SlotState::Aborting | SlotState::Closing => Timestamp::NEVER,
        }
    }

    #[inline]
    fn transition(&mut self, slot: SlotId, state: SlotState, out: &mut Vec<Action>) {
        let to = state.kind();
        let entry = self.slots.at_mut(slot);
        let backend = entry.backend;
        let from = core::mem::replace(&mut entry.state, state).kind();
        let set = self.sets.at_mut(backend);
        track_suspicion(entry, set, from.carries_load(), to.carries_load());
        let stays_connected = from.is_connected() && to.is_connected();
        let was_online = stays_connected || set.online();
        set.counts.shift(from, to);
        let totals = if set.wanted { &mut self.wanted } else { &mut self.draining };
        totals.shift(from, to);
        // What becomes a claimer's is said by the grant.
        if !matches!(to, SlotKind::Granted | SlotKind::Acquiring | SlotKind::Claimed) {
            out.push(Action::Note(Note::Slot { slot, backend, from: Some(from), to: Some(to) }));
        }
        if from.carries_load() && to.carries_load() {
            // It only changes hands: neither what is idle nor what is loaded is another.
            return;
        }
        if from == SlotKind::Unclaimed {
            set.idle.remove(slot.0, &mut IdleLinks(&mut self.slots));
        }
        if to == SlotKind::Unclaimed {
            set.idle.push_front(slot.0, &mut IdleLinks(&mut self.slots));
        }
        if stays_connected {
            self.refresh(backend);
        } else {
            self.connections_changed(backend, was_online, out);
        }
    }

    #[inline(never)]
    fn connections_changed(&mut self, backend: BackendId, was_online: bool, out: &mut Vec<Action>) {
        let online = self.sets.at(backend).online();
        if online != was_online {
            let note = if online { Note::Online(backend) } else { Note::Offline(backend) };
            out.push(Action::Note(note));
            self.soundness_changed(backend);
        }
        self.refresh(backend);
    }

    /// The number of the suspicion that the slot's backend is under, 0 if it is under none.
    pub(super) fn suspicion_of(&self, slot: SlotId) -> u32 {
        self.sets.at(self.slots.at(slot).backend).health.current_suspicion()
    }

    /// Keeps count of the sound backends; with the first or last of them, suspects are picked by
    /// another rule.
    pub(super) fn soundness_changed(&mut self, backend: BackendId) {
        let set = self.sets.at_mut(backend);
        let sound = set.wanted && set.online() && !set.health.suspect;
        if set.sound == sound {
            return;
        }
        set.sound = sound;
        let before = self.sound_online;
        self.sound_online = if sound { before + 1 } else { before - 1 };
        if before == 0 || self.sound_online == 0 {
            for index in 0..self.order.len() {
                self.refresh(self.order[index]);
            }
        }
    }
}

/// Keeps count of the connections that are out under a suspicion.
#[inline]
fn track_suspicion(entry: &mut Slot, set: &mut SlotSet, carried: bool, carrying: bool) {
    if carried == carrying {
        return;
    }
    let suspicion = set.health.current_suspicion();
    if carrying {
        entry.suspicion = suspicion;
    }
    if suspicion != 0 && entry.suspicion == suspicion {
        let out_now = &mut set.health.suspect_out;
        *out_now = if carrying { *out_now + 1 } else { *out_now - 1 };
    }
}
