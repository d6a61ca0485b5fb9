//! Which walk of the driver a log is from.

use std::fmt;
use std::str::FromStr;

/// What is before the numbers in such a log.
const REMARK: &str = "the driver's walk ";
/// No walk ever went further.
const LONGEST: u64 = 10_000;

/// A walk, and how far it goes before it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::walk) struct Span {
    pub(super) seed: u64,
    pub(super) steps: u64,
}

/// As a log says it.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{REMARK}{} of {} steps", self.seed, self.steps)
    }
}

/// Why a remark is not one that names a walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::walk) enum NoSpan {
    /// It is about something else.
    Other,
    /// It names a walk that there is not.
    Wrong(String),
}

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(remark: &str) -> Result<Self, NoSpan> {
        let rest = remark.strip_prefix(REMARK).ok_or(NoSpan::Other)?;
        let numbers = rest.strip_suffix(" steps").and_then(|rest| rest.split_once(" of "));
        let span = numbers.and_then(|(seed, steps)| {
            Some(Self {
                seed: seed.parse().ok()?,
                steps: steps.parse().ok().filter(|steps| *steps <= LONGEST)?,
            })
        });
        let why =
            || format!("'{remark}' names no walk, of which each has a number and up to {LONGEST} steps");
        span.ok_or_else(|| NoSpan::Wrong(why()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_which_walk_it_is_from() {
        let span = Span { seed: 88, steps: 17 };
        assert_eq!(
            (span.to_string().as_str(), span.to_string().parse()),
            ("the driver's walk 88 of 17 steps", Ok(span))
        );
        for other in ["", "the driver walks", "the world is not calm"] {
            assert_eq!(other.parse::<Span>(), Err(NoSpan::Other), "{other}");
        }
        for wrong in ["88", "x of 17 steps", "88 of 10001 steps", "88 of 99999999999999999999 steps"] {
            let named = format!("the driver's walk {wrong}").parse::<Span>();
            assert!(matches!(&named, Err(NoSpan::Wrong(why)) if why.contains(wrong)), "{named:?}");
        }
    }
}
