//! Breadth first through every state of a small world.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A world small enough to be walked through whole.
pub trait World: Clone {
    /// What can happen next.
    type Step: Clone;

    /// Everything that can happen in this state.
    fn enabled(&self) -> Vec<Self::Step>;
    /// Lets it happen, and checks every rule on the way.
    ///
    /// # Errors
    ///
    /// Says which rule is broken.
    fn take(&mut self, step: Self::Step, seen: &mut Sometimes) -> Result<(), String>;
    /// A number that is equal for states that behave alike.
    fn fingerprint(&self) -> u128;
    /// Checks what must be possible from this state on.
    ///
    /// # Errors
    ///
    /// Says which rule is broken.
    fn liveness(&self) -> Result<(), String>;
    /// The step and what follows from it, as a transcript.
    fn tell(&mut self, step: Self::Step) -> String;
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
        let index = self.names.iter().position(|known| *known == name);
        self.counts[index.unwrap_or_else(|| panic!("nobody waits for {name:?}"))] += 1;
    }

    /// What never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let names = self.names.iter().zip(&self.counts);
        names.filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect()
    }
}

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Edges walked.
    pub transitions: u64,
    /// The longest shortest path.
    pub depth: u32,
    /// How long it took.
    pub took: Duration,
    /// Whether every state was expanded; otherwise the limit was reached.
    pub complete: bool,
    /// What the world was waiting for.
    pub sometimes: Sometimes,
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

/// Walks through every state reachable from `start`, at most `limit` of them.
pub fn explore<W: World>(start: &W, sometimes: Sometimes, limit: usize) -> Report {
    let began = Instant::now();
    let mut explorer = Explorer {
        start: start.clone(),
        known: HashMap::from([(start.fingerprint(), 0)]),
        trail: vec![None],
        transitions: 0,
        sometimes,
    };
    let mut layer = vec![(start.clone(), 0_u32)];
    let mut depth = 0;
    let mut violation = None;
    while !layer.is_empty() && explorer.trail.len() < limit {
        match explorer.expand(layer) {
            Ok(next) => layer = next,
            Err(found) => {
                violation = Some(found);
                break;
            }
        }
        depth += 1;
    }
    Report {
        states: explorer.trail.len(),
        transitions: explorer.transitions,
        depth,
        took: began.elapsed(),
        complete: violation.is_none() && explorer.trail.len() < limit,
        sometimes: explorer.sometimes,
        violation,
    }
}

struct Explorer<W: World> {
    start: W,
    /// States by fingerprint.
    known: HashMap<u128, u32>,
    /// How each state was reached first.
    trail: Vec<Option<(u32, W::Step)>>,
    transitions: u64,
    sometimes: Sometimes,
}

impl<W: World> Explorer<W> {
    fn expand(&mut self, layer: Vec<(W, u32)>) -> Result<Vec<(W, u32)>, Violation> {
        let mut next = Vec::new();
        for (world, index) in layer {
            for step in world.enabled() {
                self.transitions += 1;
                let mut then = world.clone();
                if let Err(rule) = contained(|| then.take(step.clone(), &mut self.sometimes)) {
                    return Err(self.violation(rule, index, Some(step)));
                }
                let fresh = u32::try_from(self.trail.len()).expect("fewer than 2^32 states");
                if *self.known.entry(then.fingerprint()).or_insert(fresh) != fresh {
                    continue;
                }
                self.trail.push(Some((index, step)));
                if let Err(rule) = contained(|| then.liveness()) {
                    return Err(self.violation(rule, fresh, None));
                }
                next.push((then, fresh));
            }
        }
        Ok(next)
    }

    fn violation(&self, rule: String, mut index: u32, last: Option<W::Step>) -> Violation {
        let mut steps: Vec<W::Step> = last.into_iter().collect();
        while let Some((before, step)) = &self.trail[index as usize] {
            steps.push(step.clone());
            index = *before;
        }
        let mut world = self.start.clone();
        let mut transcript = String::new();
        for step in steps.into_iter().rev() {
            let told = contained(|| Ok(world.tell(step))).unwrap_or_else(|rule| rule);
            let _ = writeln!(transcript, "{told}");
        }
        Violation { rule, transcript }
    }
}

/// A panic is a broken rule like any other: it is reported with the way that leads to it.
fn contained<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a message")))
    })
}
