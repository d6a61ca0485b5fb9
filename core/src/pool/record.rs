//! The pool's part of a log: how one begins, and how the events of a transcript are read.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::event::{Action, ClaimId, Event, Failure, Return, SlotId, Ticket};
use super::text::{Line, transcript_event};
use super::{Policy, PoolMachine};
use crate::dice::Dice;
use crate::digest::Digest;
use crate::record::Recorded;
use crate::record::words::Words;
use crate::time::Timestamp;

/// Claims are numbered close together: one that is so far above all before is a damaged number, for which no
/// table has to be made.
const STRIDE: u32 = 1 << 20;

/// How a pool machine began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Beginning {
    /// With what [`PoolMachine::new`] takes.
    New {
        /// What its owner chose.
        policy: Policy,
        /// All its dice.
        dice: Dice,
        /// Its first time.
        at: Timestamp,
    },
    /// In the middle of its life, as it was then. Read only by the version of the machine that wrote it.
    State {
        /// The machine.
        machine: Box<PoolMachine>,
        /// A sum over its text: a state that does not add up to it is refused.
        sum: u128,
    },
}

impl Beginning {
    /// This machine, as it is.
    #[must_use]
    pub fn state(machine: PoolMachine) -> Self {
        Self::State { sum: sum(&machine), machine: Box::new(machine) }
    }
}

fn sum(machine: &PoolMachine) -> u128 {
    let text = serde_json::to_vec(machine).expect("a machine is plain data");
    let mut digest = Digest::EMPTY;
    text.iter().for_each(|byte| digest.push(u64::from(*byte)));
    digest.finish()
}

impl Recorded for PoolMachine {
    const NAME: &'static str = "pool";
    type Beginning = Beginning;

    fn begin(beginning: Beginning) -> Result<Self, String> {
        match beginning {
            Beginning::New { at: Timestamp::NEVER, .. } => Err("it never begins".to_string()),
            Beginning::New { policy, dice, at } => Self::new(policy, &dice, at).map_err(|e| e.to_string()),
            Beginning::State { machine, sum: written } if sum(&machine) == written => Ok(*machine),
            Beginning::State { .. } => {
                Err("its state is not as it was written: the log is damaged, or of another version"
                    .to_string())
            }
        }
    }

    fn event_line(&self, now: Timestamp, event: &Event) -> String {
        transcript_event(self, now, event)
    }

    fn read_event(text: &str) -> Result<Event, String> {
        let mut words = Words::new(text);
        let event = match words.next() {
            "backends" => {
                let mut backends = Vec::new();
                while words.has_more() {
                    backends.push(words.backend()?);
                }
                Event::Backends(backends)
            }
            "claim" => {
                let claim = claim(&mut words)?;
                words.expect("until")?;
                Event::Claim { claim, deadline: words.time()? }
            }
            "resume" => Event::Resume(claim(&mut words)?),
            "fetched" => Event::Fetched(claim(&mut words)?),
            "cancelled" => Event::Cancelled(claim(&mut words)?),
            "acquire" => acquire(&mut words)?,
            "acquired" => Event::Acquired(slot(&mut words)?),
            "returned" => Event::Returned(slot(&mut words)?, how_returned(&mut words)?),
            "connected" => Event::Connected(slot(&mut words)?, result(&mut words)?),
            "checked" => Event::Checked(slot(&mut words)?, result(&mut words)?),
            "recycled" => Event::Recycled(slot(&mut words)?, result(&mut words)?),
            "closed" => Event::Closed(slot(&mut words)?),
            "shut" => {
                words.expect("down")?;
                Event::ShutDown
            }
            // Why it came is for people.
            "tick" | "tick:" => {
                words.rest();
                Event::Tick
            }
            other => return Err(format!("nobody knows the event '{other}'")),
        };
        words.end(event)
    }

    fn admits(&self, event: &Event) -> Result<(), String> {
        let (slot, claim) = named(event);
        if let Some(slot) = slot.filter(|slot| self.slot_kind(*slot).is_none()) {
            return Err(format!("there is no slot {slot:?}"));
        }
        let reach = self.queue.reach();
        match claim.filter(|claim| claim.0 >= reach.saturating_add(STRIDE)) {
            None => Ok(()),
            Some(claim) => {
                Err(format!("there can be no claim {claim:?} where all before are below c{reach}"))
            }
        }
    }

    fn action_line(action: &Action) -> String {
        Line(action).to_string()
    }

    fn check(&self) -> Result<(), String> {
        self.audit()
    }
}

/// The slot and the claim that this event names.
fn named(event: &Event) -> (Option<SlotId>, Option<ClaimId>) {
    match *event {
        Event::Claim { claim, .. }
        | Event::Resume(claim)
        | Event::Fetched(claim)
        | Event::Cancelled(claim) => (None, Some(claim)),
        Event::AcquirePending { slot, claim, .. } | Event::AcquireFailed { slot, claim, .. } => {
            (Some(slot), Some(claim))
        }
        Event::Acquired(slot)
        | Event::Returned(slot, _)
        | Event::Connected(slot, _)
        | Event::Checked(slot, _)
        | Event::Recycled(slot, _)
        | Event::Closed(slot) => (Some(slot), None),
        Event::Backends(_) | Event::ShutDown | Event::Tick => (None, None),
    }
}

fn slot(words: &mut Words<'_>) -> Result<SlotId, String> {
    words.id('s').map(SlotId)
}

fn claim(words: &mut Words<'_>) -> Result<ClaimId, String> {
    words.id('c').map(ClaimId)
}

fn acquire(words: &mut Words<'_>) -> Result<Event, String> {
    let pending = words.skip("pending");
    if !pending {
        words.expect("failed")?;
    }
    let (slot, claim) = (slot(words)?, claim(words)?);
    words.expect("number")?;
    let arrival = words.number()?;
    words.expect("until")?;
    let deadline = words.time()?;
    words.expect("failures")?;
    let ticket = Ticket { arrival, deadline, failures: words.number()? };
    if pending {
        return Ok(Event::AcquirePending { slot, claim, ticket });
    }
    Ok(Event::AcquireFailed { slot, claim, ticket, failure: failure(words)? })
}

fn how_returned(words: &mut Words<'_>) -> Result<Return, String> {
    match words.next() {
        "intact" => Ok(Return::Intact),
        "recycling" => Ok(Return::Recycling),
        "broken" => Ok(Return::Broken),
        "abandoned" => Ok(Return::Abandoned),
        "detached" => Ok(Return::Detached),
        other => Err(format!("nothing is returned '{other}'")),
    }
}

fn result(words: &mut Words<'_>) -> Result<Result<(), Failure>, String> {
    if words.skip("ok") { Ok(Ok(())) } else { failure(words).map(Err) }
}

fn failure(words: &mut Words<'_>) -> Result<Failure, String> {
    match words.rest() {
        "error" => Ok(Failure::Error),
        "timed out" => Ok(Failure::TimedOut),
        "panicked" => Ok(Failure::Panicked),
        "aborted" => Ok(Failure::Aborted),
        other => Err(format!("nothing ends with '{other}'")),
    }
}
