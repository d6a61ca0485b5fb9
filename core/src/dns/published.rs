//! The set that users have, and how good it is.

use alloc::vec::Vec;

use super::event::Action;
use super::note::Note;
use crate::backend::Backend;
use crate::time::Timestamp;

/// The last set published.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Published {
    /// There was none yet.
    Nothing,
    /// This one, sorted by identity, last confirmed then.
    Set { backends: Vec<Backend>, confirmed: Timestamp, freshness: Freshness },
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

    /// The only place that publishes: only what differs from the last set.
    pub(super) fn replace(&mut self, backends: Vec<Backend>, now: Timestamp, out: &mut Vec<Action>) {
        if backends == self.set() {
            return;
        }
        out.push(Action::Resolved(backends.clone()));
        *self = match self {
            Self::Set { confirmed, freshness, .. } if !backends.is_empty() => {
                Self::Set { backends, confirmed: *confirmed, freshness: *freshness }
            }
            Self::Nothing | Self::Set { .. } => {
                Self::Set { backends, confirmed: now, freshness: Freshness::Confirmed }
            }
        };
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
            Self::Set { backends, confirmed, freshness: freshness @ Freshness::Confirmed }
                if !backends.is_empty() =>
            {
                *freshness = Freshness::Stale;
                out.push(Action::Note(Note::Stale { since: *confirmed }));
            }
            Self::Nothing | Self::Set { .. } => {}
        }
    }
}
