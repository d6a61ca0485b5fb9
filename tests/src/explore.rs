//! Breadth first through every state of a small world.
//!
//! States are remembered by their fingerprints alone, and a way by the number of its last step. What must
//! come about in the end is read off the finished graph: from each state a world that behaves takes one
//! edge, and these edges must not lead in a circle.

mod known;
mod report;

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::time::Instant;

use self::known::Known;
pub use self::report::{Progress, Report, Sometimes, Violation};
use crate::panics::contained;

/// One of so many steps is taken twice, where nothing else is asked for.
pub const REPEATED: u64 = 16;

/// A world small enough to be walked through whole.
pub trait World: Clone {
    /// What can happen next.
    type Step: Clone + PartialEq + Debug;
    /// What is collected on the way.
    type Seen;

    /// Everything that can happen in this state.
    fn enabled(&self, steps: &mut Vec<Self::Step>);
    /// Lets it happen, and checks every rule on the way.
    ///
    /// # Errors
    ///
    /// Says which rule is broken.
    fn take(&mut self, step: &Self::Step, seen: &mut Self::Seen) -> Result<(), String>;
    /// Lets it happen once more, from the same state in the memory of `twin`, and compares with what it led to.
    ///
    /// # Errors
    ///
    /// Says which rule is broken.
    fn repeat(&self, step: &Self::Step, led_to: &Self, twin: &mut Self) -> Result<(), String>;
    /// A number that is equal for states that behave alike.
    fn fingerprint(&self) -> u128;
    /// One of so many steps is taken twice, for a state decides what follows from it.
    fn repeated(&self) -> u64 {
        REPEATED
    }
    /// Whether what follows from this step is the same from every state with this fingerprint.
    fn is_compared(&self, step: &Self::Step) -> bool;
    /// What must come about in the end, whatever happened before.
    fn promises(&self) -> &'static [&'static str];
    /// The step that brings a promise nearer where everybody behaves; `None` where it is kept.
    fn pursue(&self, promise: usize) -> Option<Self::Step>;
    /// The step and what follows from it, as a transcript.
    fn tell(&mut self, step: &Self::Step) -> String;
}

/// One of so many states that look like a known one is expanded all the same, and compared with it.
const COMPARED: u64 = 256;
/// No successor: the promise is kept, or the state was not expanded.
const NOWHERE: u32 = u32::MAX;

/// Walks through every state reachable from `start`, or its first layers up to about `limit` states.
pub fn explore<W: World>(
    start: &W,
    seen: W::Seen,
    limit: usize,
    mut progress: impl FnMut(&Progress),
) -> Report<W::Seen> {
    let began = Instant::now();
    let mut explorer = Explorer::new(start, seen);
    let mut layer = vec![(Box::new(start.clone()), 0_u32)];
    let mut far = explorer.progress(0, 1, began);
    let mut violation = None;
    while !layer.is_empty() && far.states < limit && violation.is_none() {
        layer = explorer.expand(layer).unwrap_or_else(|broken| {
            violation = Some(broken);
            Vec::new()
        });
        far = explorer.progress(far.depth + 1, layer.len(), began);
        progress(&far);
    }
    let violation = violation.or_else(|| explorer.broken_promise());
    let complete = violation.is_none() && layer.is_empty();
    Report { progress: far, complete, seen: explorer.seen, violation }
}

/// States to be expanded, and their numbers.
type Layer<W> = Vec<(Box<W>, u32)>;

/// A state that looks like another, and has to behave like it.
struct Twin {
    /// How it was reached: from which state, by which of its steps.
    way: (u32, u32),
    /// The sum of its successors' fingerprints.
    follows: u64,
}

struct Explorer<'start, W: World> {
    start: &'start W,
    /// States by fingerprint.
    known: Known,
    /// How each state was reached first: from which state, by which of its steps.
    trail: Vec<(u32, u32)>,
    /// For each state, the sum of its successors' fingerprints.
    follows: Vec<u64>,
    /// For each state and promise, where a world that behaves goes from it.
    pursuits: Vec<u32>,
    /// What followed from states that look like one that was not expanded when they were met.
    twins: BTreeMap<u32, Vec<Twin>>,
    expanded: usize,
    transitions: u64,
    /// Steps that led to a state that looks like a known one.
    merged: u64,
    compared: u64,
    seen: W::Seen,
    /// Worlds whose memory is used again.
    spare: Vec<Box<W>>,
    steps: Vec<W::Step>,
    thens: Vec<(Box<W>, u128)>,
}

impl<'start, W: World> Explorer<'start, W> {
    fn new(start: &'start W, seen: W::Seen) -> Self {
        let mut known = Known::new();
        known.insert(start.fingerprint(), 0);
        Self {
            start,
            known,
            trail: vec![(0, 0)],
            follows: Vec::new(),
            pursuits: Vec::new(),
            twins: BTreeMap::new(),
            expanded: 0,
            transitions: 0,
            merged: 0,
            compared: 0,
            seen,
            spare: Vec::new(),
            steps: Vec::new(),
            thens: Vec::new(),
        }
    }

    fn progress(&self, depth: u32, frontier: usize, began: Instant) -> Progress {
        let (states, transitions, compared) = (self.trail.len(), self.transitions, self.compared);
        Progress { states, transitions, compared, depth, frontier, took: began.elapsed() }
    }

    /// Takes every step from every state of a layer, and returns the states that are new.
    fn expand(&mut self, layer: Layer<W>) -> Result<Layer<W>, Violation> {
        let mut next = Vec::with_capacity(layer.len());
        for (world, index) in layer {
            let mut steps = std::mem::take(&mut self.steps);
            steps.clear();
            world.enabled(&mut steps);
            let promises = world.promises();
            let goals: Vec<_> = (0..promises.len()).map(|promise| world.pursue(promise)).collect();
            let pursuits = self.pursuits.len();
            self.pursuits.resize(pursuits + promises.len(), NOWHERE);
            // All first, so that what is looked up is fetched together.
            let mut thens = std::mem::take(&mut self.thens);
            for (number, step) in (0..).zip(&steps) {
                let then =
                    self.walk(&world, step).map_err(|rule| self.violation(rule, index, Some(number)))?;
                let fingerprint = then.fingerprint();
                thens.push((then, fingerprint));
            }
            let mut follows = 0_u64;
            for (number, (step, (then, fingerprint))) in (0..).zip(steps.iter().zip(thens.drain(..))) {
                if world.is_compared(step) {
                    follows = follows.wrapping_add(fingerprint as u64);
                }
                let fresh = self.trail.len() as u32;
                let there = self.known.insert(fingerprint, fresh);
                for (promise, goal) in goals.iter().enumerate() {
                    if goal.as_ref() == Some(step) {
                        self.pursuits[pursuits + promise] = there;
                    }
                }
                if there == fresh {
                    self.trail.push((index, number));
                    next.push((then, fresh));
                } else {
                    self.merge(&then, there, (index, number))?;
                    self.spare.push(then);
                }
            }
            self.thens = thens;
            for (promise, goal) in goals.iter().enumerate() {
                if goal.is_some() && self.pursuits[pursuits + promise] == NOWHERE {
                    let rule = format!("{}: nothing can happen any more", promises[promise]);
                    return Err(self.violation(rule, index, None));
                }
            }
            self.follows.push(follows);
            self.expanded += 1;
            for twin in self.twins.remove(&index).unwrap_or_default() {
                self.compare(&twin, index)?;
            }
            self.steps = steps;
            self.spare.push(world);
        }
        self.spare.truncate(1 << 10);
        Ok(next)
    }

    /// Takes one step, and now and then the same again.
    fn walk(&mut self, world: &W, step: &W::Step) -> Result<Box<W>, String> {
        self.transitions += 1;
        let mut then = match self.spare.pop() {
            Some(mut spare) => {
                spare.as_mut().clone_from(world);
                spare
            }
            None => Box::new(world.clone()),
        };
        contained(|| then.take(step, &mut self.seen))?;
        if self.transitions.is_multiple_of(world.repeated()) {
            let mut twin = self.spare.pop().unwrap_or_else(|| Box::new(world.clone()));
            contained(|| world.repeat(step, &then, &mut twin))?;
            self.spare.push(twin);
        }
        Ok(then)
    }

    /// Now and then, compares what follows from a state that looks like a known one with what follows from
    /// that: once that is known too, for most that look alike meet in a layer that is still to be expanded.
    fn merge(&mut self, world: &W, known: u32, way: (u32, u32)) -> Result<(), Violation> {
        self.merged += 1;
        if !self.merged.is_multiple_of(COMPARED) {
            return Ok(());
        }
        let here = self.successors(world).map_err(|rule| self.violation(rule, way.0, Some(way.1)))?;
        let follows = here.iter().fold(0, |sum: u64, (fingerprint, _)| sum.wrapping_add(*fingerprint as u64));
        let twin = Twin { way, follows };
        if (known as usize) < self.follows.len() {
            return self.compare(&twin, known);
        }
        self.twins.entry(known).or_default().push(twin);
        Ok(())
    }

    /// Compares what followed from a state that looks like a known one with what followed from that.
    fn compare(&mut self, twin: &Twin, known: u32) -> Result<(), Violation> {
        self.compared += 1;
        if twin.follows == self.follows[known as usize] {
            return Ok(());
        }
        let (one, way) = self.retrace(twin.way.0, Some(twin.way.1));
        let rule = self.difference(&one, known).unwrap_or_else(|rule| rule);
        Err(Violation { rule, transcript: way })
    }

    /// How what follows from this state differs from what follows from the known one that it looks like.
    fn difference(&mut self, one: &W, known: u32) -> Result<String, String> {
        let (other, story) = self.retrace(known, None);
        let here = self.successors(one)?;
        let there = self.successors(&other)?;
        let only = |these: &[(u128, W::Step)], those: &[(u128, W::Step)]| {
            let lacking = these.iter().filter(|(one, _)| those.iter().all(|(other, _)| one != other));
            lacking.map(|(_, step)| format!("\n    {step:?}")).collect::<String>()
        };
        let (here, there) = (only(&here, &there), only(&there, &here));
        Ok(format!(
            "it looks like another state, but behaves differently on{here}\nthan that on{there}\nwhich is\n{story}"
        ))
    }

    /// Every step from here and the fingerprint of where it leads.
    fn successors(&mut self, world: &W) -> Result<Vec<(u128, W::Step)>, String> {
        let mut steps = Vec::new();
        world.enabled(&mut steps);
        steps.retain(|step| world.is_compared(step));
        let lead = |step: W::Step| {
            let mut then = world.clone();
            contained(|| then.take(&step, &mut self.seen))?;
            Ok((then.fingerprint(), step))
        };
        steps.into_iter().map(lead).collect()
    }

    /// A state from which a promise is never kept though everybody behaves.
    fn broken_promise(&self) -> Option<Violation> {
        let promises = self.start.promises();
        for (promise, rule) in promises.iter().enumerate() {
            let next = |state: u32| {
                self.pursuits.get(state as usize * promises.len() + promise).copied().unwrap_or(NOWHERE)
            };
            // The pass that met a state, 0 before: a pass that meets its own trace goes in a circle.
            let mut met = vec![0_u32; self.trail.len()];
            for first in 0..self.expanded as u32 {
                let mut state = first;
                while state != NOWHERE && met[state as usize] == 0 {
                    met[state as usize] = first + 1;
                    state = next(state);
                }
                if state != NOWHERE && met[state as usize] == first + 1 {
                    let rule = format!("{rule}: it never comes about, though everybody behaves");
                    return Some(self.violation(rule, first, None));
                }
            }
        }
        None
    }

    fn violation(&self, rule: String, index: u32, last: Option<u32>) -> Violation {
        Violation { rule, transcript: self.retrace(index, last).1 }
    }

    /// The shortest way to a state, and perhaps one step on: where it leads, and its transcript.
    fn retrace(&self, index: u32, last: Option<u32>) -> (W, String) {
        let (mut world, mut story) = (self.start.clone(), String::new());
        let mut steps = Vec::new();
        for number in self.way(index).into_iter().chain(last) {
            steps.clear();
            world.enabled(&mut steps);
            let told = contained(|| Ok(world.tell(&steps[number as usize])));
            let _ = writeln!(story, "{}", told.unwrap_or_else(|rule| rule));
        }
        (world, story)
    }

    /// The numbers of the steps on the shortest way to a state.
    fn way(&self, mut index: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        while index != 0 {
            let (before, number) = self.trail[index as usize];
            numbers.push(number);
            index = before;
        }
        numbers.reverse();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that is made larger by one or doubled, up to 16. It behaves by becoming 15.
    #[derive(Clone, Debug)]
    struct Number {
        is: u8,
        /// What it must not become.
        forbidden: u8,
    }

    #[derive(Clone, PartialEq, Debug)]
    enum Step {
        Add,
        Double,
    }

    impl World for Number {
        type Step = Step;
        type Seen = ();

        fn enabled(&self, steps: &mut Vec<Step>) {
            steps.extend([Step::Add, Step::Double]);
        }

        fn take(&mut self, step: &Step, (): &mut ()) -> Result<(), String> {
            self.is = match step {
                Step::Add => self.is.saturating_add(1).min(16),
                Step::Double => self.is.saturating_mul(2).min(16),
            };
            if self.is == self.forbidden { Err(format!("C7: it is {}", self.is)) } else { Ok(()) }
        }

        fn repeat(&self, _: &Step, _: &Self, _: &mut Self) -> Result<(), String> {
            Ok(())
        }

        fn fingerprint(&self) -> u128 {
            self.is.into()
        }

        fn is_compared(&self, _: &Step) -> bool {
            true
        }

        fn promises(&self) -> &'static [&'static str] {
            &["C9"]
        }

        fn pursue(&self, _: usize) -> Option<Step> {
            (self.is != 15).then_some(Step::Add)
        }

        fn tell(&mut self, step: &Step) -> String {
            let rule = self.take(step, &mut ()).err();
            rule.map_or_else(|| format!("{step:?}"), |rule| format!("{step:?}\n{rule}"))
        }
    }

    fn violation(start: u8, forbidden: u8) -> Option<(String, String)> {
        let report = explore(&Number { is: start, forbidden }, (), usize::MAX, |_| {});
        assert_eq!(report.complete, report.violation.is_none());
        report.violation.map(|violation| (violation.rule, violation.transcript))
    }

    #[test]
    fn the_shortest_way_to_a_broken_rule_is_told() {
        // 1, 2, 3, 6, 12, 13: twelve additions would do as well.
        let (rule, way) = violation(1, 13).expect("it becomes 13");
        assert_eq!(rule, "C7: it is 13");
        assert_eq!(way, "Add\nAdd\nDouble\nDouble\nAdd\nC7: it is 13\n");
    }

    #[test]
    fn a_promise_that_is_never_kept_is_told_with_the_way_to_where_it_is_not() {
        // Seven additions do it, but doubling leads past it.
        let (rule, way) = violation(8, 0).expect("it becomes 16, and stays that");
        assert_eq!(rule, "C9: it never comes about, though everybody behaves");
        assert_eq!(way, "Double\n");
    }
}
