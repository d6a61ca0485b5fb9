//! What goes wrong in a long walk often goes wrong in a short one.

use super::again::{Seen, again};

/// A short walk in which the same is wrong, and what it says of that: found by halving what lies between one that
/// is too short and one that is not. Walks of other lengths are other walks, so it need not be the shortest.
pub(super) fn shortest(
    mut span: u64,
    mut rule: String,
    wrong: impl Fn(u64) -> Option<String>,
) -> (u64, String) {
    if let Some(same) = wrong(0).filter(|other| is_same(&rule, other)) {
        return (0, same);
    }
    let mut too_short = 0;
    while too_short + 1 < span {
        let middle = too_short.midpoint(span);
        match wrong(middle).filter(|other| is_same(&rule, other)) {
            Some(same) => (span, rule) = (middle, same),
            None => too_short = middle,
        }
    }
    (span, rule)
}

/// The same log without what follows on the event that was wrong, and what was wrong then: after every event
/// everything is looked at, so it may show sooner.
pub(super) fn cut(log: String, rule: String) -> (String, String) {
    let Ok(Seen::Violation { rule: seen, line: Some(line), .. }) = again(&log) else { return (log, rule) };
    let is_event = |line: &&str| !line.starts_with([' ', '#']);
    let all: Vec<_> = log.lines().collect();
    let after = all.iter().skip(line).position(is_event).map_or(all.len(), |more| line + more);
    let shorter = &all[..after.min(all.len() - 1)];
    // Before the events there are two lines.
    let events = shorter.iter().skip(2).filter(|line| is_event(line)).count();
    let shorter = format!("{}\nend {events}\n", shorter.join("\n"));
    match again(&shorter) {
        Ok(Seen::Violation { rule, .. }) if rule == seen => (shorter, rule),
        Ok(_) | Err(_) => (log, seen),
    }
}

/// Whether both say the same, but for the numbers, and of a rule of the contract, but for the case.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let said = |rule: &str| {
        let numbered = rule.split_once(':').filter(|(number, _)| number.starts_with('C'));
        numbered
            .map_or_else(|| rule.replace(|c: char| c.is_ascii_digit(), ""), |(number, _)| number.to_owned())
    };
    said(one) == said(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool_sim::PoolSim;
    use qorb_core::pool::Policy;

    #[test]
    fn the_shortest_walk_is_one_in_which_the_same_is_wrong() {
        // Another rule breaks in shorter walks, and the numbers change from walk to walk.
        let wrong = |span| match span {
            300.. => Some(format!("C7: {span} slots")),
            100.. => Some("C6: somebody waits".to_owned()),
            0.. => None,
        };
        assert_eq!(shortest(6_000, "C7: 1 slots".to_owned(), wrong), (300, "C7: 300 slots".to_owned()));
        let wrong = |span| (span > 17).then(|| format!("panicked: step {span}"));
        assert_eq!(shortest(120, "panicked: step 80".to_owned(), wrong).0, 18);
        assert_eq!(shortest(120, "panicked: otherwise".to_owned(), wrong).0, 120);
    }

    #[test]
    fn a_log_ends_with_the_event_that_was_wrong() {
        let mut sim = PoolSim::new(Policy::default(), 1);
        sim.publish(&["a"]);
        let before = sim.log().lines().count() - 1;
        for _ in 0..5 {
            sim.claim();
        }
        let log = sim.log();
        assert_eq!(cut(log.clone(), String::new()), (log.clone(), String::new()));
        let mut lines: Vec<_> = log.lines().collect();
        lines.insert(before, "0 resume c0");
        let (short, rule) = cut(lines.join("\n") + "\n", String::new());
        assert_eq!(rule, "embedder: c0 resumes, and is Free");
        assert_eq!(short.lines().count(), before + 2, "{short}");
    }
}
