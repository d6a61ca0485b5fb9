//! Which walk of the driver a log is from.

use std::fmt;
use std::str::FromStr;

/// What is before the numbers in such a log.
const REMARK: &str = "the driver's walk ";

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

impl FromStr for Span {
    type Err = ();

    fn from_str(remark: &str) -> Result<Self, ()> {
        let numbers = remark.strip_prefix(REMARK).and_then(|rest| rest.strip_suffix(" steps"));
        let (seed, steps) = numbers.and_then(|numbers| numbers.split_once(" of ")).ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self { seed: number(seed)?, steps: number(steps)? })
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
        for other in ["", "the driver's walk 88", "the driver's walk x of 17 steps", "the world is not calm"]
        {
            assert_eq!(other.parse::<Span>(), Err(()), "{other}");
        }
    }
}
