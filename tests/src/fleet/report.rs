//! What came of a scenario.

use std::fmt;

use super::ledger::Sample;

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub scenario: &'static str,
    /// What was measured, each against its limit.
    pub lines: Vec<Line>,
    /// Its course.
    pub samples: Vec<Sample>,
    /// How many events the machines have handled.
    pub events: u64,
    /// All that happened to the first pool, as a log.
    pub log: String,
}

/// Something measured, and its limit.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is.
    pub what: String,
    /// How much of it there was; nothing where the fleet had none of what is measured.
    pub measured: Option<f64>,
    /// How much there may be, or has to be.
    pub limit: f64,
    /// Whether the limit is the least.
    is_least: bool,
}

impl Report {
    /// Whether every line holds.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The numbers of the lines that do not hold.
    pub fn failed(&self) -> impl Iterator<Item = usize> {
        self.lines.iter().enumerate().filter(|(_, line)| !line.holds()).map(|(number, _)| number)
    }
}

impl Line {
    /// It must be no more than that.
    pub(super) fn at_most(limit: f64, what: impl Into<String>, measured: impl Into<Option<f64>>) -> Self {
        Self { what: what.into(), measured: measured.into(), limit, is_least: false }
    }

    /// It must be no less than that.
    pub(super) fn at_least(limit: f64, what: impl Into<String>, measured: impl Into<Option<f64>>) -> Self {
        Self { what: what.into(), measured: measured.into(), limit, is_least: true }
    }

    /// Whether it is within its limit. What was not measured is; what is no number is not.
    #[must_use]
    pub fn holds(&self) -> bool {
        let within = |measured| if self.is_least { measured >= self.limit } else { measured <= self.limit };
        self.measured.is_none_or(within)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, measured) = match self.measured {
            None => ("-", "unmeasured".to_owned()),
            Some(measured) => (if self.holds() { "ok" } else { "FAILED" }, short(measured)),
        };
        let (sign, limit) = (if self.is_least { '≥' } else { '≤' }, short(self.limit));
        write!(f, "{verdict:<6} {measured:>10} {sign} {limit:<10} {}", self.what)
    }
}

/// A number with as many decimals as it needs, three at most.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
