//! How a transcript reads: lower case, short ids, times in milliseconds.

use alloc::string::String;
use core::fmt::{self, Write as _};

use super::PoolMachine;
use super::event::{Action, Denial, Event, Failure, Note, Return, SlotKind, Ticket};
use crate::backend::Exact;
use crate::machine::Machine as _;
use crate::time::Timestamp;

/// An action as a line of a transcript.
#[derive(Debug)]
pub struct Line<'action>(pub &'action Action);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Action::Connect(slot, backend) => write!(f, "connect {slot:?} {backend:?}"),
            Action::Check(slot) => write!(f, "check {slot:?}"),
            Action::Recycle(slot) => write!(f, "recycle {slot:?}"),
            Action::Close(slot) => write!(f, "close {slot:?}"),
            Action::Abort(slot) => write!(f, "abort {slot:?}"),
            Action::Grant { claim, slot, ticket: _ } => write!(f, "grant {claim:?} {slot:?}"),
            Action::Revoke(claim, slot) => write!(f, "revoke {claim:?} {slot:?}"),
            Action::Deny(claim, denial) => write!(f, "deny {claim:?} {denial}"),
            Action::Stopped => f.write_str("stopped"),
            Action::Note(note) => write!(f, "{note}"),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot { slot, from, to, backend: _ } => {
                let name = |kind: &Option<SlotKind>| kind.map_or("none", SlotKind::name);
                write!(f, "{slot:?} {} -> {}", name(from), name(to))
            }
            Self::Added(backend) => write!(f, "{backend:?} added"),
            Self::Removed(backend) => write!(f, "{backend:?} removed"),
            Self::Online(backend) => write!(f, "{backend:?} online"),
            Self::Offline(backend) => write!(f, "{backend:?} offline"),
            Self::Failed(backend, _, failure) => write!(f, "{backend:?} failed: {failure}"),
            Self::Recovered(backend) => write!(f, "{backend:?} recovered"),
            Self::Planned { tick: false } => f.write_str("planned"),
            Self::Planned { tick: true } => f.write_str("planned by tick"),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBackends => f.write_str("no backends"),
            Self::NoBackendsOnline => f.write_str("no backends online"),
            Self::AllClaimsUsed { checking: 0 } => f.write_str("all claims used"),
            Self::AllClaimsUsed { checking } => write!(f, "all claims used, {checking} checking"),
            Self::TooManyWaiting => f.write_str("too many waiting"),
            Self::AcquireFailed => f.write_str("acquire failed"),
            Self::Terminated => f.write_str("terminated"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::TimedOut => "timed out",
            Self::Panicked => "panicked",
            Self::Aborted => "aborted",
        })
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {} until {} failures {}", self.arrival, self.deadline, self.failures)
    }
}

impl SlotKind {
    /// The state's name in transcripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Unclaimed => "unclaimed",
            Self::Checking => "checking",
            Self::Granted => "granted",
            Self::Acquiring => "acquiring",
            Self::Claimed => "claimed",
            Self::Recycling => "recycling",
            Self::Aborting => "aborting",
            Self::Closing => "closing",
        }
    }
}

/// An event as a line of a transcript. Backends are named by the ids that the machine will know or
/// knows them by only after the event, so they are written out.
#[must_use]
pub fn transcript_event(machine: &PoolMachine, now: Timestamp, event: &Event) -> String {
    let mut line = String::new();
    let end = |result: &Result<(), Failure>| match result {
        Ok(()) => String::from("ok"),
        Err(failure) => alloc::format!("{failure}"),
    };
    let written = match event {
        Event::Backends(backends) => {
            let _ = write!(line, "{now} backends");
            backends.iter().try_for_each(|backend| write!(line, " {}", Exact(backend)))
        }
        Event::Claim { claim, deadline } => write!(line, "{now} claim {claim:?} until {deadline}"),
        Event::Resume(claim) => write!(line, "{now} resume {claim:?}"),
        Event::Fetched(claim) => write!(line, "{now} fetched {claim:?}"),
        Event::Cancelled(claim) => write!(line, "{now} cancelled {claim:?}"),
        Event::AcquirePending { slot, claim, ticket } => {
            write!(line, "{now} acquire pending {slot:?} {claim:?} {ticket}")
        }
        Event::Acquired(slot) => write!(line, "{now} acquired {slot:?}"),
        Event::AcquireFailed { slot, claim, ticket, failure } => {
            write!(line, "{now} acquire failed {slot:?} {claim:?} {ticket} {failure}")
        }
        Event::Returned(slot, how) => {
            let how = match how {
                Return::Intact => "intact",
                Return::Recycling => "recycling",
                Return::Broken => "broken",
                Return::Abandoned => "abandoned",
                Return::Detached => "detached",
            };
            write!(line, "{now} returned {slot:?} {how}")
        }
        Event::Connected(slot, result) => write!(line, "{now} connected {slot:?} {}", end(result)),
        Event::Checked(slot, result) => write!(line, "{now} checked {slot:?} {}", end(result)),
        Event::Recycled(slot, result) => write!(line, "{now} recycled {slot:?} {}", end(result)),
        Event::Closed(slot) => write!(line, "{now} closed {slot:?}"),
        Event::ShutDown => write!(line, "{now} shut down"),
        Event::Tick => match machine.reason() {
            Some(reason) if machine.deadline() == Some(now) => write!(line, "{now} tick: {reason:?}"),
            _ => write!(line, "{now} tick"),
        },
    };
    written.expect("a string takes everything");
    line
}
