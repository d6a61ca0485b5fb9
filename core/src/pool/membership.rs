//! The resolver's set changes, and the pool ends.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::event::{Action, BackendId, Denial, Note, SlotId, SlotKind};
use super::plan::{Wish, heft};
use super::queue::Standing;
use super::set::SlotSet;
use super::{Life, PoolMachine};
use crate::backend::Backend;
use crate::dice::mix;

/// A set in order of identity, each backend once.
struct Latest {
    set: Vec<Backend>,
    /// By which id each of it is known already.
    known: Vec<Option<BackendId>>,
    /// What was in the set before and is not in this one, in rendezvous order.
    gone: Vec<BackendId>,
}

impl PoolMachine {
    pub(super) fn on_backends(&mut self, backends: Vec<Backend>, out: &mut Vec<Action>) {
        if self.life != Life::Running {
            return;
        }
        let Latest { set, known, gone } = self.recognise(backends);
        let published = self.order.len();
        for &backend in &gone {
            self.order.retain(|&other| other != backend);
            self.withdraw(backend, out);
        }
        let mut changed = self.order.len() < published;
        for (backend, known) in set.into_iter().zip(known) {
            let id = match known {
                Some(known) => self.keep(known, backend, out),
                None => Some(self.add(backend, out)),
            };
            if let Some(id) = id {
                let place = self.order.partition_point(|&other| self.precedes(other, id));
                self.order.insert(place, id);
                changed = true;
            }
        }
        self.planned.stale |= changed;
    }

    /// Tells what in a set is known.
    fn recognise(&self, mut set: Vec<Backend>) -> Latest {
        set.sort_by(|one, other| one.identity().cmp(&other.identity()));
        set.dedup_by(|next, first| next.identity() == first.identity());
        let (mut known, mut gone) = (alloc::vec![None; set.len()], Vec::new());
        let mut guess = 0;
        for (id, one) in self.sets.iter() {
            let identity = one.backend.identity();
            // Most sets come in the order of the one before.
            let found = match set.get(guess) {
                Some(next) if next.identity() == identity => Ok(guess),
                Some(_) | None => set.binary_search_by(|other| other.identity().cmp(&identity)),
            };
            match found {
                Ok(at) => {
                    known[at] = Some(BackendId(id));
                    guess = at + 1;
                }
                Err(_) if one.wanted => gone.push(BackendId(id)),
                Err(_) => {}
            }
        }
        gone.sort_by(|&one, &other| self.place(one).cmp(&self.place(other)));
        Latest { set, known, gone }
    }

    /// What a backend's place in the order follows from: equal ranks are no ambiguity.
    fn place(&self, backend: BackendId) -> (u16, u64, (&str, SocketAddr)) {
        let set = self.sets.at(backend);
        (set.backend.priority, set.rank, set.backend.identity())
    }

    pub(super) fn precedes(&self, one: BackendId, other: BackendId) -> bool {
        self.place(one) < self.place(other)
    }

    /// A backend is new.
    fn add(&mut self, backend: Backend, out: &mut Vec<Action>) -> BackendId {
        let rank = rank(self.rank_seed, &backend);
        let added = BackendId(self.sets.insert(SlotSet::new(backend, rank)));
        out.push(Action::Note(Note::Added(added)));
        added
    }

    /// A backend that is known is in the new set; its id if it has no place in the order yet: it was not in
    /// the set before, or its priority or weight is another.
    fn keep(&mut self, known: BackendId, latest: Backend, out: &mut Vec<Action>) -> Option<BackendId> {
        let set = self.sets.at(known);
        let wanted = set.wanted;
        if (set.backend.priority, set.backend.weight) != (latest.priority, latest.weight) {
            if wanted {
                self.order.remove(self.order.partition_point(|&other| self.precedes(other, known)));
            }
            let rank = rank(self.rank_seed, &latest);
            let set = self.sets.at_mut(known);
            (set.backend, set.rank) = (latest, rank);
        } else if wanted {
            return None;
        }
        if wanted {
            return Some(known);
        }
        let set = self.sets.at_mut(known);
        set.wanted = true;
        self.draining.release(&set.counts);
        self.wanted.absorb(&set.counts);
        out.push(Action::Note(Note::Added(known)));
        self.soundness_changed(known);
        self.refresh(known);
        Some(known)
    }

    /// A backend left the set: what nobody uses is closed, what somebody holds stays usable.
    fn withdraw(&mut self, backend: BackendId, out: &mut Vec<Action>) {
        let set = self.sets.at_mut(backend);
        set.wanted = false;
        set.wish_for(Wish::default());
        set.run = 0;
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

/// A backend's place in the rendezvous order of the pool with this seed: by chance alone among equal weights,
/// and otherwise first as often as its weight is a part of all (weighted rendezvous hashing, Schindelhauer and
/// Schomaker, "Weighted distributed hash tables", SPAA 2005; as a race of exponentials).
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
    exponential(mix(seed ^ mix(hash))) / u64::from(heft(backend.weight))
}

/// Fractional bits of a logarithm.
const BITS: u32 = 57;

/// An even number made exponential: the logarithm of the reciprocal of what it leaves of 1, to the base of 2.
/// A larger number never becomes a smaller one.
fn exponential(even: u64) -> u64 {
    let left = (!even).max(1);
    let whole = left.ilog2();
    // Between 1 and 2, with 63 fractional bits: each squaring yields one bit of its logarithm.
    let mut mantissa = left << left.leading_zeros();
    let mut fraction = 0_u64;
    for _ in 0..BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let doubled = (square >> 127) as u64;
        mantissa = (square >> (63 + doubled)) as u64;
        fraction = fraction << 1 | doubled;
    }
    // Of 64 bits, so that 64 is what the logarithm of 1 is counted from.
    (64 << BITS) - (u64::from(whole) << BITS | fraction)
}
