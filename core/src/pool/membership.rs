//! The resolver's set changes, and the pool ends.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::event::{Action, BackendId, Denial, Note, SlotId, SlotKind};
use super::plan::Wish;
use super::queue::Standing;
use super::set::SlotSet;
use super::{Life, PoolMachine};
use crate::backend::Backend;
use crate::dice::mix;

impl PoolMachine {
    pub(super) fn on_backends(&mut self, backends: Vec<Backend>, out: &mut Vec<Action>) {
        if self.life != Life::Running {
            return;
        }
        let (latest, known) = self.recognise(backends);
        let stays: BTreeSet<_> = known.iter().copied().flatten().collect();
        for backend in core::mem::take(&mut self.order) {
            if !stays.contains(&backend) {
                self.withdraw(backend, out);
            }
        }
        for (backend, known) in latest.into_iter().zip(known) {
            match known {
                Some(known) => self.keep(known, backend, out),
                None => {
                    let rank = rank(self.rank_seed, &backend);
                    let added = BackendId(self.sets.insert(SlotSet::new(backend, rank)));
                    self.order.push(added);
                    out.push(Action::Note(Note::Added(added)));
                }
            }
        }
        // The sort is stable, and the set was in order of identity: equal ranks are no ambiguity.
        self.order.sort_by_key(|&backend| self.sets.at(backend).rank);
        for index in 0..self.order.len() {
            self.refresh(self.order[index]);
        }
        self.planned.stale = true;
    }

    /// A set in order of identity, each backend once, and by which id each is known already.
    fn recognise(&self, mut set: Vec<Backend>) -> (Vec<Backend>, Vec<Option<BackendId>>) {
        set.sort_by(|one, other| one.identity().cmp(&other.identity()));
        set.dedup_by(|next, first| next.identity() == first.identity());
        let mut known = alloc::vec![None; set.len()];
        for (id, one) in self.sets.iter() {
            if let Ok(at) = set.binary_search_by(|other| other.identity().cmp(&one.backend.identity())) {
                known[at] = Some(BackendId(id));
            }
        }
        (set, known)
    }

    /// A backend that is known is in the new set.
    fn keep(&mut self, known: BackendId, latest: Backend, out: &mut Vec<Action>) {
        self.order.push(known);
        let set = self.sets.at_mut(known);
        set.backend = latest;
        if set.wanted {
            return;
        }
        set.wanted = true;
        self.draining.release(&set.counts);
        self.wanted.absorb(&set.counts);
        out.push(Action::Note(Note::Added(known)));
        self.soundness_changed(known);
        self.refresh(known);
    }

    /// A backend left the set: what nobody uses is closed, what somebody holds stays usable.
    fn withdraw(&mut self, backend: BackendId, out: &mut Vec<Action>) {
        let set = self.sets.at_mut(backend);
        set.wanted = false;
        set.wish = Wish::default();
        self.wanted.release(&set.counts);
        self.draining.absorb(&set.counts);
        out.push(Action::Note(Note::Removed(backend)));
        self.soundness_changed(backend);
        self.refresh(backend);
        for slot in self.slots_of(|of| of == backend) {
            self.dismiss(slot, out);
        }
        self.forget_if_gone(backend);
    }

    /// Ends whatever this slot does that is not in somebody's hands.
    fn dismiss(&mut self, slot: SlotId, out: &mut Vec<Action>) {
        match self.slots.at(slot).state.kind() {
            SlotKind::Unclaimed => self.enter_closing(slot, out),
            SlotKind::Connecting | SlotKind::Checking | SlotKind::Recycling => {
                self.enter_aborting(slot, out);
            }
            SlotKind::Granted
            | SlotKind::Acquiring
            | SlotKind::Claimed
            | SlotKind::Aborting
            | SlotKind::Closing => {}
        }
    }

    /// Forgets a backend that left the set once its last slot has ended.
    pub(super) fn forget_if_gone(&mut self, backend: BackendId) {
        let set = self.sets.at(backend);
        if set.wanted || set.counts.total() > 0 {
            return;
        }
        self.set_timers.stop(backend.0);
        self.sets.remove(backend.0);
    }

    pub(super) fn on_shut_down(&mut self, out: &mut Vec<Action>) {
        if self.life != Life::Running {
            return;
        }
        self.life = Life::Stopping;
        for (claim, _, standing) in self.queue.all() {
            self.queue.remove(claim);
            if let Standing::Granted(slot) = standing {
                out.push(Action::Revoke(claim, slot));
                self.enter_closing(slot, out);
            }
            if let Standing::Acquiring(slot) = standing {
                self.enter_acquiring(slot, claim, crate::Timestamp::NEVER, true, out);
            }
            out.push(Action::Deny(claim, Denial::Terminated));
        }
        for slot in self.slots_of(|_| true) {
            self.dismiss(slot, out);
        }
    }

    /// Reports the end once only connections in claimers' hands are left.
    pub(super) fn finish(&mut self, out: &mut Vec<Action>) {
        let held = self.wanted.held() + self.draining.held();
        if self.life == Life::Stopping && self.total() == held {
            self.life = Life::Stopped;
            out.push(Action::Stopped);
        }
    }

    fn slots_of(&self, chosen: impl Fn(BackendId) -> bool) -> Vec<SlotId> {
        let slots = self.slots.iter().filter(|(_, slot)| chosen(slot.backend));
        slots.map(|(slot, _)| SlotId(slot)).collect()
    }
}

/// A backend's place in the rendezvous order of the pool with this seed.
fn rank(seed: u64, backend: &Backend) -> u64 {
    // FNV-1a (Fowler, Noll, Vo) over the identity, finished by SplitMix64's mixing.
    let address = backend.address.ip();
    let octets: [u8; 16] = match address {
        core::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        core::net::IpAddr::V6(v6) => v6.octets(),
    };
    let port = backend.address.port().to_be_bytes();
    let bytes = backend.name.bytes().chain(octets).chain(port);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(seed ^ mix(hash))
}
