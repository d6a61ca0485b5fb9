//! The claims that have no connection in use yet: who waits, in which order, and until when.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::event::{ClaimId, SlotId, Ticket};
use super::list::{Link, Links, List};
use super::timers::Timers;
use crate::overwrite::overwritable;
use crate::time::Timestamp;

/// Where a claim stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Standing {
    /// In the queue.
    Waiting,
    /// Granted this slot, not fetched.
    Granted(SlotId),
    /// Its grant was taken back; out of the queue until its claimer polls.
    Revoked,
    /// Its claimer runs a pending `on_acquire` on this slot.
    Acquiring(SlotId),
}

/// A claim. Aligned, so that a turn touches one line of the cache for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[repr(align(64))]
struct Entry {
    ticket: Ticket,
    standing: Standing,
    /// In `fresh`.
    place: Link,
    /// Its deadline is no earlier than that of the claim before it in `fresh`, which is timely too.
    timely: bool,
    /// In `again`.
    again: bool,
}

const _: () = assert!(size_of::<Option<Entry>>() == 64, "a claim fits a line of the cache");

/// The claims, by the embedder's ids.
///
/// Newcomers arrive in order and, mostly, give up in order: a plain list carries them, timely ones first,
/// and only what is out of order (a claim that queues again, an unusual deadline and those that come while
/// it is the last) is kept in a tree or a heap beside it.
#[derive(PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub(crate) struct Queue {
    /// Waiting for the first time, in order of arrival.
    fresh: List,
    revoked: u32,
    entries: Vec<Option<Entry>>,
    /// Waiting again, by arrival.
    again: BTreeMap<u64, ClaimId>,
    /// Waiting, and not timely.
    untimely: Timers,
}

overwritable!(Queue { entries, fresh, again, untimely, revoked });

struct Places<'queue>(&'queue mut Vec<Option<Entry>>);

impl Links for Places<'_> {
    fn link(&mut self, id: u32) -> &mut Link {
        &mut self.0[id as usize].as_mut().expect("only claims that exist are listed").place
    }
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            fresh: List::EMPTY,
            again: BTreeMap::new(),
            untimely: Timers::new(),
            revoked: 0,
        }
    }

    /// How many claims are in the queue.
    #[inline]
    pub(crate) fn waiting(&self) -> u32 {
        self.fresh.len() + self.again.len() as u32
    }

    /// How many claims have no connection: waiting or revoked.
    #[inline]
    pub(crate) fn without(&self) -> u32 {
        self.waiting() + self.revoked
    }

    /// Whose turn it is.
    #[inline]
    pub(crate) fn front(&self) -> Option<ClaimId> {
        if self.again.is_empty() {
            return self.fresh.first().map(ClaimId);
        }
        let fresh = self.fresh.first().map(|id| (self.entry(ClaimId(id)).ticket.arrival, ClaimId(id)));
        let again = self.again.first_key_value().map(|(&arrival, &claim)| (arrival, claim));
        match (fresh, again) {
            (Some(fresh), Some(again)) => Some(fresh.min(again).1),
            (fresh, again) => fresh.or(again).map(|(_, claim)| claim),
        }
    }

    pub(crate) fn get(&self, claim: ClaimId) -> Option<(Ticket, Standing)> {
        let entry = self.entries.get(claim.0 as usize)?.as_ref()?;
        Some((entry.ticket, entry.standing))
    }

    /// A newcomer queues, behind everybody.
    pub(crate) fn join(&mut self, claim: ClaimId, ticket: Ticket) {
        let last = self.fresh.last().map(|last| self.entry(ClaimId(last)));
        let timely = last.is_none_or(|last| last.timely && last.ticket.deadline <= ticket.deadline);
        self.insert(claim, ticket, Standing::Waiting);
        self.fresh.push_back(claim.0, &mut Places(&mut self.entries));
        if timely {
            self.entry_mut(claim).timely = true;
        } else {
            self.untimely.by(claim.0, ticket.deadline);
        }
    }

    /// A claim queues again, in its old place.
    pub(crate) fn rejoin(&mut self, claim: ClaimId, ticket: Ticket) {
        match self.get(claim) {
            None => self.insert(claim, ticket, Standing::Waiting),
            Some((_, Standing::Revoked)) => {
                self.revoked -= 1;
                self.entry_mut(claim).standing = Standing::Waiting;
            }
            Some((_, Standing::Acquiring(_))) => {
                let entry = self.entry_mut(claim);
                entry.standing = Standing::Waiting;
                entry.ticket = ticket;
            }
            Some((_, Standing::Waiting | Standing::Granted(_))) => {
                unreachable!("{claim:?} queues again although it waits or was granted")
            }
        }
        self.entry_mut(claim).again = true;
        self.again.insert(ticket.arrival, claim);
        self.untimely.by(claim.0, ticket.deadline);
    }

    /// A waiting claim leaves the queue, granted this slot.
    pub(crate) fn grant(&mut self, claim: ClaimId, slot: SlotId) -> Ticket {
        self.leave(claim);
        let entry = self.entry_mut(claim);
        entry.standing = Standing::Granted(slot);
        entry.ticket
    }

    /// A claim in the hands of its claimer needs a place to be told from.
    pub(crate) fn acquire(&mut self, claim: ClaimId, ticket: Ticket, slot: SlotId) {
        self.insert(claim, ticket, Standing::Acquiring(slot));
    }

    /// A granted claim loses its grant.
    pub(crate) fn revoke(&mut self, claim: ClaimId) {
        self.entry_mut(claim).standing = Standing::Revoked;
        self.revoked += 1;
    }

    /// Forgets a claim, wherever it stands.
    pub(crate) fn remove(&mut self, claim: ClaimId) -> Option<(Ticket, Standing)> {
        let (ticket, standing) = self.get(claim)?;
        match standing {
            Standing::Waiting => self.leave(claim),
            Standing::Revoked => self.revoked -= 1,
            Standing::Granted(_) | Standing::Acquiring(_) => {}
        }
        self.entries[claim.0 as usize] = None;
        Some((ticket, standing))
    }

    /// The first number that is above those of all claims that were ever listed.
    #[cfg(feature = "record")]
    pub(crate) fn reach(&self) -> u32 {
        self.entries.len() as u32
    }

    /// When the first waiting claim gives up.
    pub(crate) fn deadline(&self) -> Timestamp {
        let timely = self.timely().map_or(Timestamp::NEVER, |(_, deadline)| deadline);
        timely.min(self.untimely.first())
    }

    /// The timely claim that gives up first.
    fn timely(&self) -> Option<(ClaimId, Timestamp)> {
        let first = ClaimId(self.fresh.first()?);
        let entry = self.entry(first);
        entry.timely.then_some((first, entry.ticket.deadline))
    }

    /// A waiting claim whose deadline has come; it is still in the queue.
    pub(crate) fn expired(&self, now: Timestamp) -> Option<ClaimId> {
        if let Some((claim, _)) = self.timely().filter(|(_, deadline)| *deadline <= now) {
            return Some(claim);
        }
        self.untimely.peek_due(now).map(ClaimId)
    }

    /// Every claim, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClaimId, Ticket, Standing)> {
        let entries = (0..).zip(&self.entries);
        entries.filter_map(|(id, entry)| entry.as_ref().map(|of| (ClaimId(id), of.ticket, of.standing)))
    }

    /// Every claim, in order of arrival: for the end and for recounts.
    pub(crate) fn all(&self) -> Vec<(ClaimId, Ticket, Standing)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_by_key(|(_, ticket, _)| ticket.arrival);
        all
    }

    /// Compares every index with a recount of the entries (C13).
    pub(crate) fn audit(&self) -> Result<(), &'static str> {
        let waits = |claim: &ClaimId| self.entry(*claim).standing == Standing::Waiting;
        let arrival = |claim: &ClaimId| self.entry(*claim).ticket.arrival;
        let fresh = || self.fresh.iter(|id| self.entry(ClaimId(id)).place).map(ClaimId);
        if !fresh().all(|claim| waits(&claim) && !self.entry(claim).again)
            || !fresh().is_sorted_by_key(|claim| arrival(&claim))
        {
            return Err("C13: the list of fresh claims is not waiting ones by arrival");
        }
        if !self
            .again
            .iter()
            .all(|(at, claim)| waits(claim) && self.entry(*claim).again && *at == arrival(claim))
        {
            return Err("C13: the tree of claims that queue again is not waiting ones by arrival");
        }
        let waiting = self.iter().filter(|(_, _, standing)| *standing == Standing::Waiting).count();
        if fresh().count() != self.fresh.len() as usize || waiting != self.waiting() as usize {
            return Err("C13: a waiting claim is in no queue");
        }
        let untimely = |claim: &ClaimId| !self.entry(*claim).timely;
        if !fresh().skip_while(|claim| !untimely(claim)).all(|claim| untimely(&claim)) {
            return Err("C13: a timely claim waits behind an untimely one");
        }
        let timely = || fresh().take_while(|claim| !untimely(claim));
        if !timely().is_sorted_by_key(|claim| self.entry(claim).ticket.deadline) {
            return Err("C13: the deadlines of timely claims are out of order");
        }
        let mut waiting = self.iter().filter(|(claim, ..)| waits(claim));
        if waiting.any(|(claim, ticket, _)| {
            let aside = (untimely(&claim) && !ticket.deadline.is_never()).then_some(ticket.deadline);
            self.untimely.of(claim.0) != aside
        }) {
            return Err("C13: a waiting claim's deadline is watched twice or not at all");
        }
        if self.revoked as usize != self.iter().filter(|(_, _, at)| *at == Standing::Revoked).count() {
            return Err("C13: the count of revoked claims is off");
        }
        Ok(())
    }

    fn entry(&self, claim: ClaimId) -> &Entry {
        self.entries[claim.0 as usize].as_ref().expect("C5: the claim exists")
    }

    fn entry_mut(&mut self, claim: ClaimId) -> &mut Entry {
        self.entries[claim.0 as usize].as_mut().expect("C5: the claim exists")
    }

    fn insert(&mut self, claim: ClaimId, ticket: Ticket, standing: Standing) {
        let index = claim.0 as usize;
        if index >= self.entries.len() {
            self.entries.resize(index + 1, None);
        }
        debug_assert!(self.entries[index].is_none(), "{claim:?} is in use");
        self.entries[index] =
            Some(Entry { ticket, standing, place: Link::NONE, timely: false, again: false });
    }

    /// Takes a waiting claim out of the queue and stops watching its deadline.
    fn leave(&mut self, claim: ClaimId) {
        let entry = self.entry_mut(claim);
        let arrival = entry.ticket.arrival;
        let again = core::mem::take(&mut entry.again);
        let timely = core::mem::take(&mut entry.timely);
        if again {
            self.again.remove(&arrival);
        } else {
            self.fresh.remove(claim.0, &mut Places(&mut self.entries));
        }
        if !timely {
            self.untimely.stop(claim.0);
        }
    }
}
