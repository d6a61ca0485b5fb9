//! What an exploration of the pool collects: what happened at all, and how slots change their states.

use std::fmt::Write as _;

use qorb_core::pool::{Event, Return, SlotKind};

use super::{Freedom, MOST, Size};
use crate::explore::Sometimes;

/// Things that must happen somewhere in an exploration of the pool.
pub const SOMETIMES: &[&str] = &[
    "a claim is granted at once",
    "a claim is granted after waiting",
    "a claim is granted after a connect failed",
    "two newcomers wait, and the first is granted",
    "patience ends a connect",
    "a grant is revoked",
    "a revoked claim resumes and is granted",
    "on_acquire is told to give up",
    "a claim is denied for want of backends",
    "a claim is denied for want of a connection",
    "a claim is denied for others that use all",
    "a claim is denied while a connection is checked",
    "a claim is denied for too many waiting",
    "a claim is denied for on_acquire",
    "a probe succeeds",
    "an aborted connect succeeds all the same",
    "a check runs",
    "a recycle times out",
    "a close is pending while another slot connects",
    "a backend returns while its connection is held",
    "a backend moves while a connection is held",
    "a slot is moved at the cap",
    "the tick sheds a connection",
    "a claim is granted by a tier behind the first",
    "a tier that is closed gives up a connection",
    "shutdown denies a waiting claim",
    "a claim comes after the end",
    "the pool stops with a handle out",
    "a suspect is passed over",
];

/// What makes a slot change its state, in the words of the table of states.
const CAUSES: [&str; 20] = [
    "connected",
    "connect failed",
    "checked",
    "check failed",
    "recycled",
    "recycle failed",
    "closed",
    "fetched",
    "cancelled",
    "acquire pending",
    "acquired",
    "acquire failed",
    "returned intact",
    "returned, to be recycled",
    "returned broken",
    "abandoned",
    "detached",
    "time",
    "another set",
    "shutdown",
];
/// Anything about claims or other slots.
const ELSEWHERE: usize = CAUSES.len();
/// States of a slot, and that it does not exist.
const STATES: usize = SlotKind::ALL.len() + 1;

/// What was seen on the way.
#[derive(Clone, Debug)]
pub struct Seen {
    sometimes: Sometimes,
    /// Bit n of a cell: cause n led from the state of its row to the one of its column.
    changes: [[u32; STATES]; STATES],
}

impl Default for Seen {
    fn default() -> Self {
        Self { sometimes: Sometimes::new(SOMETIMES), changes: [[0; STATES]; STATES] }
    }
}

impl Seen {
    /// It happened.
    pub(super) fn see(&mut self, name: &str) {
        self.sometimes.see(name);
    }

    /// Adds what was seen in another world.
    pub fn add(&mut self, other: &Self) {
        self.sometimes.add(&other.sometimes);
        for (causes, more) in self.changes.iter_mut().flatten().zip(other.changes.iter().flatten()) {
            *causes |= more;
        }
    }

    /// What never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.sometimes.missing()
    }

    /// What never happened, though it has to where such a world is walked through whole.
    #[must_use]
    pub fn owed(&self, size: Size, freedom: Freedom) -> Vec<&'static str> {
        self.missing().into_iter().filter(|name| size.has(freedom, name)).collect()
    }

    pub(super) fn note_changes(
        &mut self,
        event: &Event,
        before: [Option<(SlotKind, u64)>; MOST],
        after: [Option<(SlotKind, u64)>; MOST],
    ) {
        for (slot, (from, to)) in (0..).zip(before.into_iter().zip(after)) {
            let kind = |slot: Option<(SlotKind, u64)>| slot.map(|(kind, _)| kind);
            match (from, to) {
                _ if from == to => {}
                (Some((_, serial)), Some((_, next))) if serial != next => {
                    self.note(event, slot, kind(from), None);
                    self.changes[state(None)][state(kind(to))] |= 1 << ELSEWHERE;
                }
                _ => self.note(event, slot, kind(from), kind(to)),
            }
        }
    }

    fn note(&mut self, event: &Event, slot: u32, from: Option<SlotKind>, to: Option<SlotKind>) {
        self.changes[state(from)][state(to)] |= 1 << cause(event, slot, from, to);
    }

    /// The table of states: from where to where, and why.
    #[must_use]
    pub fn table(&self) -> Vec<String> {
        let kinds = || std::iter::once(None).chain(SlotKind::ALL.map(Some));
        let mut rows = Vec::new();
        for from in kinds() {
            for to in kinds() {
                let causes = self.changes[state(from)][state(to)];
                let names = (0..=ELSEWHERE).filter(|cause| causes & (1 << cause) != 0);
                let names: Vec<_> =
                    names.map(|cause| CAUSES.get(cause).unwrap_or(&"elsewhere")).copied().collect();
                if !names.is_empty() {
                    let mut row = String::new();
                    let name = |kind: Option<SlotKind>| kind.map_or("none", SlotKind::name);
                    let _ = write!(row, "| {} | {} | {}", name(from), name(to), names.join("; "));
                    rows.push(row);
                }
            }
        }
        rows
    }
}

fn state(kind: Option<SlotKind>) -> usize {
    kind.map_or(0, |kind| 1 + kind as usize)
}

/// Why this slot went from one state to the other.
fn cause(event: &Event, slot: u32, from: Option<SlotKind>, to: Option<SlotKind>) -> usize {
    let (own, of) = match event {
        Event::Connected(of, result) => (usize::from(result.is_err()), Some(of)),
        Event::Checked(of, result) => (2 + usize::from(result.is_err()), Some(of)),
        Event::Recycled(of, result) => (4 + usize::from(result.is_err()), Some(of)),
        Event::Closed(of) => (6, Some(of)),
        Event::Fetched(_) if to == Some(SlotKind::Claimed) => return 7,
        Event::Cancelled(_) if from == Some(SlotKind::Granted) => return 8,
        Event::AcquirePending { slot, .. } => (9, Some(slot)),
        Event::Acquired(of) => (10, Some(of)),
        Event::AcquireFailed { slot, .. } => (11, Some(slot)),
        Event::Returned(of, how) => {
            let how = match how {
                Return::Intact => 12,
                Return::Recycling => 13,
                Return::Broken => 14,
                Return::Abandoned => 15,
                Return::Detached => 16,
            };
            (how, Some(of))
        }
        Event::Tick => return 17,
        Event::Backends(_) => return 18,
        Event::ShutDown => return 19,
        Event::Claim { .. } | Event::Resume(_) | Event::Fetched(_) | Event::Cancelled(_) => (ELSEWHERE, None),
    };
    if of.is_some_and(|of| of.0 == slot) { own } else { ELSEWHERE }
}
