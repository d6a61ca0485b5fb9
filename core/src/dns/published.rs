//! The set that users have, and how good it is.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::event::Action;
use super::exchange::Outside;
use super::note::Note;
use super::wire::Name;
use crate::backend::Backend;
use crate::time::Timestamp;

/// The last set published.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Published {
    /// There was none yet.
    Nothing,
    /// This one, sorted by identity, last confirmed then.
    Set {
        backends: Vec<Backend>,
        confirmed: Timestamp,
        freshness: Freshness,
        /// Those of them that no server names any more, and since when.
        vanished: BTreeMap<(Name, SocketAddr), Timestamp>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Freshness {
    /// The latest round confirmed it.
    Confirmed,
    /// It is kept although nobody does.
    Stale,
}

impl Published {
    pub(super) fn set(&self) -> &[Backend] {
        match self {
            Self::Nothing => &[],
            Self::Set { backends, .. } => backends,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Set { .. } => false,
        }
    }

    /// When it was last confirmed, if that is no longer so.
    pub(super) fn stale_since(&self) -> Option<Timestamp> {
        match self {
            Self::Set { confirmed, freshness: Freshness::Stale, .. } => Some(*confirmed),
            Self::Nothing | Self::Set { freshness: Freshness::Confirmed, .. } => None,
        }
    }

    /// What to keep for a while though it is not among `named`: it may come back, as it does where servers
    /// name random parts of the set.
    pub(super) fn hold(&mut self, named: &[Backend], outside: &Outside<'_>) -> Vec<Backend> {
        let Self::Set { backends, vanished, .. } = self else { return Vec::new() };
        let is_named =
            |one: &&Backend| named.binary_search_by(|other| other.identity().cmp(&one.identity())).is_ok();
        let key = |one: &Backend| (one.name.clone(), one.address);
        let gone = backends.iter().filter(|one| !is_named(one)).map(|one| {
            let since = vanished.get(&key(one)).copied().unwrap_or(outside.now);
            (one, since)
        });
        let held: Vec<(&Backend, Timestamp)> =
            gone.filter(|(_, since)| outside.now < since.after(outside.config.removal_hold)).collect();
        let kept = held.iter().map(|(one, _)| (*one).clone()).collect();
        *vanished = held.iter().map(|(one, since)| (key(one), *since)).collect();
        kept
    }

    /// The only place that publishes: only what differs from the last set.
    pub(super) fn replace(&mut self, set: Vec<Backend>, outside: &mut Outside<'_>) {
        if set == self.set() {
            return;
        }
        outside.out.push(Action::Resolved(set.clone()));
        match self {
            Self::Set { backends, .. } if !set.is_empty() => *backends = set,
            Self::Nothing | Self::Set { .. } => {
                *self = Self::Set {
                    backends: set,
                    confirmed: outside.now,
                    freshness: Freshness::Confirmed,
                    vanished: BTreeMap::new(),
                };
            }
        }
    }

    /// A round confirmed it.
    pub(super) fn confirm(&mut self, now: Timestamp) {
        if let Self::Set { confirmed, freshness, .. } = self {
            *confirmed = now;
            *freshness = Freshness::Confirmed;
        }
    }

    /// A round did not. An empty set is not worth confirming.
    pub(super) fn doubt(&mut self, out: &mut Vec<Action>) {
        match self {
            Self::Set { backends, confirmed, freshness: freshness @ Freshness::Confirmed, .. }
                if !backends.is_empty() =>
            {
                *freshness = Freshness::Stale;
                out.push(Action::Note(Note::Stale { since: *confirmed }));
            }
            Self::Nothing | Self::Set { .. } => {}
        }
    }
}
