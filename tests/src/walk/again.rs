//! A log that happens again, before a shadow.

use std::panic::{AssertUnwindSafe, catch_unwind};

use qorb_core::Timestamp;
use qorb_core::dns::{self, Resolver};
use qorb_core::pool::{Action, Event, PoolMachine};
use qorb_core::record::{ReplayError, Replayed, Witness, replay_before};

use super::driver::{self, NoSpan, Span};
use super::shadow::{Owed, Shadow};
use crate::panics::message;

/// What was seen while a log happened again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// The machine did what the log says, and that was well.
    Well {
        /// How much that was.
        replayed: Replayed,
        /// Whether a shadow saw it all: of a resolver there is none, nor of a pool in the middle of its life.
        shadowed: bool,
        /// Whether it is of a walk of the driver, which was walked again.
        walked: bool,
        /// Whether a shadow saw the end of a pool, of which nothing is left.
        ended: bool,
    },
    /// Something did not hold.
    Violation {
        /// What it is, beginning with the rule's number.
        rule: String,
        /// The same, with the place in the log where it was seen.
        told: String,
        /// The line of the event after which it was seen, if it is known.
        line: Option<usize>,
    },
}

/// Lets a log happen again, and looks for everything that a walk looks for.
///
/// A pool that began with the log has a shadow, so that the whole contract is checked. Where the log says which walk
/// of the driver it is from, that world is walked through too, for what a driver does wrong its machine need
/// not notice.
///
/// # Errors
///
/// It is no whole log.
pub fn again(log: &str) -> Result<Seen, ReplayError> {
    let mut onlooker = Onlooker::default();
    let replayed = catch_unwind(AssertUnwindSafe(|| replay_before(log, &mut onlooker)));
    match replayed {
        Ok(Ok(replayed)) => {
            let Onlooker { shadow, walk, wrong, .. } = onlooker;
            if let Some((line, why)) = wrong.and_then(|(remark, why)| Some((line_of(log, &remark)?, why))) {
                return Err(ReplayError::Unreadable { line, why });
            }
            let (shadowed, walked) = (shadow.is_some(), walk.is_some());
            let ended = shadow.is_some_and(|shadow| shadow.has_come_to_its_end());
            let again = walk.map_or(Ok(()), driver::walk_again);
            let well = |()| Seen::Well { replayed, shadowed, walked, ended };
            Ok(again.map_or_else(|rule| violation(rule.clone(), rule, None), well))
        }
        Ok(Err(ReplayError::Breach { line, rule })) => {
            let told = ReplayError::Breach { line, rule: rule.clone() }.to_string();
            Ok(violation(rule, told, Some(line)))
        }
        Ok(Err(difference @ ReplayError::Differs(_))) => {
            let told = difference.to_string();
            let rule = told.lines().next().unwrap_or_default().to_owned();
            Ok(violation(rule, told, None))
        }
        Ok(Err(error)) => Err(error),
        Err(panic) => {
            let rule = format!("panicked: {}", message(&*panic));
            let told = format!("at event {} of the log: {rule}", onlooker.events);
            Ok(violation(rule, told, None))
        }
    }
}

/// Where this remark is in a log.
fn line_of(log: &str, remark: &str) -> Option<usize> {
    log.lines().position(|line| line.ends_with(remark)).map(|before| before + 1)
}

fn violation(rule: String, told: String, line: Option<usize>) -> Seen {
    Seen::Violation { rule, told, line }
}

/// The shadow, and what the remarks say.
#[derive(Default)]
struct Onlooker {
    shadow: Option<Shadow>,
    /// Which walk of the driver it was.
    walk: Option<Span>,
    /// A remark that names none, though it should, and why.
    wrong: Option<(String, String)>,
    /// How many events there were.
    events: u64,
}

impl Witness<PoolMachine> for Onlooker {
    fn begins(&mut self, machine: &PoolMachine) {
        let is_new = !machine.stopped() && machine.arrivals() == 0 && machine.census().next().is_none();
        self.shadow = is_new.then(|| Shadow::new(machine.policy().clone(), machine.latest()));
    }

    fn remark(&mut self, text: &str) {
        if let (Some(shadow), Ok(owed)) = (&mut self.shadow, text.parse::<Owed>()) {
            shadow.calms_down(owed);
        }
        match text.parse() {
            Ok(walk) => self.walk = Some(walk),
            Err(NoSpan::Wrong(why)) => self.wrong = Some((text.to_owned(), why)),
            Err(NoSpan::Other) => {}
        }
    }

    fn before(&mut self, machine: &PoolMachine, now: Timestamp, event: &Event) -> Result<(), String> {
        self.events += 1;
        self.shadow.as_mut().map_or(Ok(()), |shadow| shadow.before(machine, now, event))
    }

    fn after(&mut self, machine: &PoolMachine, actions: &[Action]) -> Result<(), String> {
        let Some(shadow) = &mut self.shadow else { return Ok(()) };
        actions.iter().try_for_each(|action| shadow.perform(machine, action))?;
        shadow.after(machine, actions)?;
        shadow.compare_all(machine)
    }

    fn over(&mut self, machine: &PoolMachine) -> Result<(), String> {
        self.shadow.as_ref().map_or(Ok(()), |shadow| shadow.over(machine))
    }
}

/// Of the resolver there is no shadow.
impl Witness<Resolver> for Onlooker {
    fn before(&mut self, _: &Resolver, _: Timestamp, _: &dns::Event) -> Result<(), String> {
        self.events += 1;
        Ok(())
    }
}
