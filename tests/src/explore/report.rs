//! What an exploration says, meanwhile and in the end.

use std::fmt;
use std::time::Duration;

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Distinct states.
    pub states: usize,
    /// Edges walked.
    pub transitions: u64,
    /// States that look like a known one and were compared with it.
    pub compared: u64,
    /// Layers done.
    pub depth: u32,
    /// States of the next layer.
    pub frontier: usize,
    /// How long it has taken.
    pub took: Duration,
}

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Report<Seen> {
    /// How far it came.
    pub progress: Progress,
    /// Whether every state was expanded; otherwise the limit was reached.
    pub complete: bool,
    /// What was collected on the way.
    pub seen: Seen,
    /// The broken rule and the shortest way to it.
    pub violation: Option<Violation>,
}

/// A rule that does not hold, and the shortest way there.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What is wrong, beginning with the rule's number.
    pub rule: String,
    /// The way there.
    pub transcript: String,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.transitions as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE);
        write!(
            f,
            "{} states, {} transitions, {} compared, {} deep, {} to expand, {:.1} s, {:.0} thousand events a second",
            self.states,
            self.transitions,
            self.compared,
            self.depth,
            self.frontier,
            self.took.as_secs_f64(),
            rate / 1e3
        )
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.rule, self.transcript)
    }
}

/// Things that have to happen somewhere, or the world proves nothing.
#[derive(Clone, Debug)]
pub struct Sometimes {
    names: &'static [&'static str],
    counts: Vec<u64>,
}

impl Sometimes {
    /// None of these has happened yet.
    #[must_use]
    pub fn new(names: &'static [&'static str]) -> Self {
        Self { names, counts: vec![0; names.len()] }
    }

    /// It happened.
    ///
    /// # Panics
    ///
    /// Panics where nobody waits for it: the name is misspelt.
    pub fn see(&mut self, name: &str) {
        // Who says it mostly says it with the very same literal.
        let same = |known: &&str| std::ptr::eq::<str>(*known, name);
        let index = self.names.iter().position(same);
        let index = index.or_else(|| self.names.iter().position(|known| *known == name));
        self.counts[index.unwrap_or_else(|| panic!("nobody waits for {name:?}"))] += 1;
    }

    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// What never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let names = self.names.iter().zip(&self.counts);
        names.filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect()
    }
}
