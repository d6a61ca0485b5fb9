//! Why a pool has the slots it has: for people, in terms of the plan in force.

use alloc::vec::Vec;

use super::PoolMachine;
use super::event::BackendId;
use super::follow::{Found, POOL_DIALS, SET_DIALS};
use super::plan::last_open;
use crate::time::Timestamp;

/// What the plan in force is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Intent {
    /// How many slots it divides over the backends: what is busy, one for each claim that waited, the spares.
    pub target: u32,
    /// When surplus is closed next, if there is any.
    pub rebalance_at: Option<Timestamp>,
    /// When what priorities have left that are not used is given up, if there is any.
    pub tiers_close_at: Option<Timestamp>,
}

/// Where the plan in force puts one backend of the resolver's set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Which backend.
    pub backend: BackendId,
    /// Its place in the pool's own order of those of its priority, from 1.
    pub rank: u32,
    /// How many there are of its priority, itself included.
    pub peers: u32,
    /// Whether its priority is in use, or would be if one of its backends worked.
    pub is_open: bool,
    /// How many slots it should have.
    pub share: u32,
    /// Whether it should be probed.
    pub is_probed: bool,
    /// How many slots it has that are not on their way out.
    pub slots: u32,
    /// Why that is not what it should have.
    pub gap: Option<Gap>,
}

/// Why a backend has other slots than the plan gives it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Gap {
    /// It may not be dialled yet.
    Pausing,
    /// It has as many slots as one backend may, those on their way out included.
    SetFull,
    /// The pool has as many slots as it may, those on their way out included.
    PoolFull,
    /// As many connects run as may at a time, to it or to all.
    Dialling,
    /// The last free slot is kept for a backend that is down.
    RoomKept,
    /// The next plan will see to it.
    NotYet,
    /// It has more than it should.
    Surplus,
}

impl PoolMachine {
    /// What the plan in force is about.
    #[must_use]
    pub fn intent(&self) -> Intent {
        let some = |time: Timestamp| (!time.is_never()).then_some(time);
        Intent {
            target: self.planned.target,
            rebalance_at: some(self.rebalance_at),
            tiers_close_at: some(self.planned.closes_at),
        }
    }

    /// Where the plan in force puts every backend of the resolver's set, in the pool's order.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        let census: Vec<_> = self.order.iter().map(|&backend| self.find(backend)).collect();
        let open = last_open(census.iter().map(|found| &found.candidate));
        let tiers = census.chunk_by(|one, other| one.candidate.tier == other.candidate.tier);
        let positions = tiers.flat_map(|tier| {
            (1..).zip(tier).map(|(rank, found)| {
                let wish = self.sets.at(found.backend).wish;
                Position {
                    backend: found.backend,
                    rank,
                    peers: tier.len() as u32,
                    is_open: found.candidate.tier <= open,
                    share: wish.share,
                    is_probed: wish.probe,
                    slots: found.live,
                    gap: self.gap(found, wish.share.max(u32::from(wish.probe))),
                }
            })
        });
        positions.collect()
    }

    /// What keeps a backend from having so many slots.
    fn gap(&self, found: &Found, wanted: u32) -> Option<Gap> {
        if found.live >= wanted {
            return (found.live > wanted).then_some(Gap::Surplus);
        }
        Some(if found.candidate.pausing {
            Gap::Pausing
        } else if found.places == 0 {
            Gap::SetFull
        } else if self.room() == 0 {
            Gap::PoolFull
        } else if found.connecting >= SET_DIALS || self.dialling() >= POOL_DIALS {
            Gap::Dialling
        } else if self.planned.kept_back.is_some() {
            Gap::RoomKept
        } else {
            Gap::NotYet
        })
    }
}
