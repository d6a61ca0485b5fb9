//! A log that happens again.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::words::Words;
use super::{Difference, FORMAT, INDENT, REMARK, Recorded, ReplayError, VERSION, Witness};
use crate::dns::Resolver;
use crate::pool::PoolMachine;

/// How many lines before a difference are told, besides that of the event.
const CONTEXT: usize = 5;
/// How much of a foreign first line is told.
const GLIMPSE: usize = 60;

/// A log that replayed as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// What the machine is called.
    pub machine: &'static str,
    /// How many events happened.
    pub events: u64,
    /// How many actions followed, notes among them.
    pub actions: u64,
}

/// Lets a log happen again, compares what the machine does with what the log says, and checks after every
/// event what must always hold.
///
/// # Errors
///
/// It is no whole log, the machine does something else, or does something wrong.
///
/// # Panics
///
/// Panics where the machine does: a log whose last event the machine did not survive is replayed to that
/// very end.
pub fn replay(text: &str) -> Result<Replayed, ReplayError> {
    replay_before(text, &mut ())
}

/// The same before a witness, who looks at every event before the machine itself is checked.
///
/// # Errors
///
/// As [`replay`], or the witness objects.
///
/// # Panics
///
/// As [`replay`].
pub fn replay_before<W>(text: &str, witness: &mut W) -> Result<Replayed, ReplayError>
where
    W: Witness<PoolMachine> + Witness<Resolver>,
{
    let mut lines = Lines { all: text.trim_end().lines().collect(), at: 0 };
    let first = lines.next().unwrap_or_default();
    let version = first.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix(' '));
    let Some(version) = version else {
        return Err(ReplayError::Foreign { first_line: first.chars().take(GLIMPSE).collect() });
    };
    if version.parse() != Ok(VERSION) {
        return Err(ReplayError::Version { found: version.to_string() });
    }
    if !lines.all.last().is_some_and(|line| line.starts_with("end ")) {
        // What comes last may be cut itself.
        let is_event = |line: &&&str| !line.starts_with(INDENT) && !line.starts_with(REMARK);
        let events = lines.all.iter().skip(2).filter(is_event).count();
        return Err(ReplayError::CutOff { events: events.saturating_sub(1) as u64, expected: None });
    }
    let header = lines.next().unwrap_or_default();
    match header.split_once(' ').unwrap_or((header, "")) {
        (PoolMachine::NAME, beginning) => replay_as::<PoolMachine>(beginning, lines, witness),
        (Resolver::NAME, beginning) => replay_as::<Resolver>(beginning, lines, witness),
        (name, _) => Err(ReplayError::Machine { name: name.to_string() }),
    }
}

/// Lines with their numbers.
struct Lines<'text> {
    all: Vec<&'text str>,
    /// The number of the latest line read, from 1.
    at: usize,
}

impl<'text> Lines<'text> {
    fn next(&mut self) -> Option<&'text str> {
        let line = self.all.get(self.at).copied();
        self.at += usize::from(line.is_some());
        line
    }

    /// The next line, if it is an action.
    fn next_action(&mut self) -> Option<&'text str> {
        let action = self.all.get(self.at)?.strip_prefix(INDENT)?;
        self.at += 1;
        Some(action)
    }

    fn unreadable(&self, why: String) -> ReplayError {
        ReplayError::Unreadable { line: self.at, why }
    }

    /// The event's line, and what was read before the line of this number.
    fn before(&self, event: usize, line: usize) -> Vec<(usize, String)> {
        let latest = line.saturating_sub(CONTEXT).max(1)..line;
        let event = (event < latest.start).then_some(event);
        event.into_iter().chain(latest).map(|number| (number, self.all[number - 1].to_string())).collect()
    }
}

fn replay_as<M: Recorded>(
    beginning: &str,
    mut lines: Lines<'_>,
    witness: &mut impl Witness<M>,
) -> Result<Replayed, ReplayError> {
    let refused = |why| ReplayError::Beginning { why };
    let beginning = serde_json::from_str(beginning).map_err(|error| refused(format!("{error}")))?;
    let mut machine = M::begin(beginning).map_err(refused)?;
    machine.check().map_err(|rule| ReplayError::Breach { line: lines.at, rule })?;
    witness.begins(&machine);
    let mut replayed = Replayed { machine: M::NAME, events: 0, actions: 0 };
    let mut out = Vec::new();
    loop {
        let line = lines.next().unwrap_or_default();
        if let Some(remark) = line.strip_prefix(REMARK) {
            witness.remark(remark);
            continue;
        }
        let mut words = Words::new(line);
        if words.skip("end") {
            break;
        }
        let now = words.time().map_err(|why| lines.unreadable(why))?;
        if now.is_never() {
            return Err(lines.unreadable("what never happens is no event".to_string()));
        }
        let event = M::read_event(words.rest()).map_err(|why| lines.unreadable(why))?;
        machine.admits(&event).map_err(|why| lines.unreadable(why))?;
        let line = lines.at;
        let breach = |rule| ReplayError::Breach { line, rule };
        witness.before(&machine, now, &event).map_err(breach)?;
        machine.handle(now, event, &mut out);
        compare::<M>(&out, line, &mut lines)?;
        witness.after(&machine, &out).and_then(|()| machine.check()).map_err(breach)?;
        replayed.events += 1;
        replayed.actions += out.len() as u64;
        out.clear();
    }
    let end = lines.all.get(lines.at - 1).and_then(|line| line.strip_prefix("end "));
    match end.and_then(|events| events.parse().ok()) {
        Some(_) if lines.at < lines.all.len() => {
            Err(lines.unreadable("the log goes on after it".to_string()))
        }
        Some(expected) if expected == replayed.events => {
            let line = lines.at;
            witness.over(&machine).map_err(|rule| ReplayError::Breach { line, rule })?;
            Ok(replayed)
        }
        expected => Err(ReplayError::CutOff { events: replayed.events, expected }),
    }
}

/// Compares what the machine does at the event of this line with the actions that come next in the log.
fn compare<M: Recorded>(out: &[M::Action], event: usize, lines: &mut Lines<'_>) -> Result<(), ReplayError> {
    let mut done = out.iter().map(M::action_line);
    loop {
        let line = lines.at + 1;
        let (logged, done) = (lines.next_action(), done.next());
        if logged.is_none() && done.is_none() {
            return Ok(());
        }
        if logged != done.as_deref() {
            let logged = logged.map(String::from);
            let context = lines.before(event, line);
            return Err(ReplayError::Differs(Difference { line, logged, done, context }));
        }
    }
}
