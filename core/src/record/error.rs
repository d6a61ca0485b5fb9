//! Why a log does not replay, and what to do about it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{FORMAT, VERSION};

/// Why a log does not replay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// It is something else.
    Foreign {
        /// Its first line, as far as it fits.
        first_line: String,
    },
    /// It has another version.
    Version {
        /// Which, as it says.
        found: String,
    },
    /// Nobody knows the machine.
    Machine {
        /// Its name.
        name: String,
    },
    /// The machine cannot begin as the log says.
    Beginning {
        /// Why.
        why: String,
    },
    /// A line cannot be read.
    Unreadable {
        /// Its number, from 1.
        line: usize,
        /// Why.
        why: String,
    },
    /// It has no end, or not as many events as its end says.
    CutOff {
        /// How many events it has for certain.
        events: u64,
        /// How many it should have, where that is known.
        expected: Option<u64>,
    },
    /// The machine does something else.
    Differs(Difference),
    /// What must always hold does not, in the log and in its replay alike.
    Breach {
        /// The line of the event after which it does not hold.
        line: usize,
        /// What it is, beginning with the rule's number.
        rule: String,
    },
}

/// The first difference between a log and what the machine does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The number of the line in the log, from 1.
    pub line: usize,
    /// What the log says; `None` where it has no more actions.
    pub logged: Option<String>,
    /// What the machine does; `None` where it does nothing more.
    pub done: Option<String>,
    /// The event, and the up to five lines before this one, each with its number.
    pub context: Vec<(usize, String)>,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { first_line } => write!(
                f,
                "this is not a log of qorb: its first line is '{first_line}', not '{FORMAT} {VERSION}'; give a \
                 file that `record_to` or the program `sim` has written"
            ),
            Self::Version { found } => write!(
                f,
                "the log has version '{found}', and version {VERSION} is read here; replay it with the qorb \
                 that wrote it"
            ),
            Self::Machine { name } => write!(
                f,
                "the log is of a machine '{name}', and only 'pool' and 'resolver' are known here; replay it \
                 with the qorb that wrote it"
            ),
            Self::Beginning { why } => write!(
                f,
                "the machine cannot begin as line 2 of the log says: {why}; replay the log with the qorb that \
                 wrote it, or get a whole copy of it"
            ),
            Self::Unreadable { line, why } => {
                write!(f, "line {line} of the log cannot be read: {why}; get a whole copy of it")
            }
            Self::CutOff { events, expected: None } => write!(
                f,
                "the log was cut off: its last line is not 'end'; get a whole copy of it, or put the line \
                 'end {events}' in place of its last event, to replay the {events} before that"
            ),
            Self::CutOff { events, expected: Some(expected) } => write!(
                f,
                "the log says that it has {expected} events, and has {events}; get a whole copy of it"
            ),
            Self::Differs(difference) => difference.fmt(f),
            Self::Breach { line, rule } => write!(f, "after the event in line {line}: {rule}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |line: &Option<String>| line.as_deref().map_or_else(|| "nothing".into(), quoted);
        let (logged, done) = (said(&self.logged), said(&self.done));
        write!(f, "line {}: the log says {logged}, the machine does {done}", self.line)?;
        for (number, line) in &self.context {
            write!(f, "\n  {number:>6} | {line}")?;
        }
        write!(f, "\n> {:>6} | {}", self.line, self.logged.as_deref().unwrap_or_default())
    }
}

fn quoted(line: &str) -> String {
    alloc::format!("'{}'", line.trim_start())
}

impl core::error::Error for ReplayError {}
