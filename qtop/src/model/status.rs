//! How the link to the server is, in a word and a time.

use std::time::Duration;

use super::{Model, figures};

/// How the link to the server is. Times are since the program's beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// Nothing was heard yet.
    Connecting {
        /// Since when.
        since: Duration,
    },
    /// Something was heard.
    Live {
        /// When, latest.
        since: Duration,
    },
    /// It was lost.
    Lost {
        /// What happened.
        why: String,
        /// When it is tried again.
        until: Duration,
    },
}

/// What the title says, and whether the data is of now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// A word, with a time where there is one.
    pub words: String,
    /// Whether what is shown is what is.
    pub fresh: bool,
}

/// After how long without a frame the data is stale, where one is due so often.
fn stale_after(seconds: u8) -> Duration {
    Duration::from_secs(u64::from(seconds) * 2 + 1)
}

/// After how long without a frame the link is given up, where one is due so often.
#[must_use]
pub fn dead_after(seconds: u8) -> Duration {
    Duration::from_secs(u64::from(seconds) * 3 + 7)
}

impl Link {
    pub(super) fn new(now: Duration) -> Self {
        Self::Connecting { since: now }
    }
}

impl Model {
    /// What the title says at `now`.
    #[must_use]
    pub fn status(&self, now: Duration) -> Status {
        let said = |words: &str, fresh| Status { words: words.to_owned(), fresh };
        match &self.link {
            Link::Connecting { since } => {
                let words = format!("CONNECTING {}", whole(now.saturating_sub(*since)));
                Status { words, fresh: false }
            }
            Link::Lost { why, until } => {
                let left = whole(until.saturating_sub(now).saturating_add(Duration::from_millis(999)));
                Status { words: format!("RECONNECTING in {left} ({why})"), fresh: false }
            }
            Link::Live { since } => {
                let age = now.saturating_sub(*since);
                let ended = self.frame.as_ref().is_some_and(|frame| frame.ended);
                match () {
                    () if age >= stale_after(self.seconds) => {
                        Status { words: format!("STALE {}", whole(age)), fresh: false }
                    }
                    () if ended => said("ENDED", false),
                    () if self.desk.paused => said("PAUSED", true),
                    () => said("LIVE", true),
                }
            }
        }
    }
}

/// A duration in whole seconds, or more.
fn whole(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..10 => format!("{seconds} s"),
        10.. => figures::span(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_says_how_the_link_is() {
        let at = Duration::from_secs;
        let mut model = Model::new("here".to_owned(), 1, at(0));
        let mut table = vec![(model.clone(), 2, "CONNECTING 2 s", false)];
        model.heard(br#"{"sets":{}}"#, at(10));
        for (second, words, fresh) in
            [(10, "LIVE", true), (12, "LIVE", true), (13, "STALE 3 s", false), (22, "STALE 12 s", false)]
        {
            table.push((model.clone(), second, words, fresh));
        }
        model.desk.paused = true;
        table.push((model.clone(), 10, "PAUSED", true));
        model.desk.paused = false;
        model.seconds = 10;
        table.push((model.clone(), 30, "LIVE", true));
        model.heard(br#"{"sets":{},"ended":true}"#, at(30));
        table.push((model.clone(), 30, "ENDED", false));
        model.lost("no route".to_owned(), Duration::from_millis(1_500), at(40));
        table.push((model.clone(), 40, "RECONNECTING in 2 s (no route)", false));
        table.push((model.clone(), 50, "RECONNECTING in 0 s (no route)", false));
        for (model, second, words, fresh) in table {
            let status = model.status(at(second));
            assert_eq!((&*status.words, status.fresh), (words, fresh), "after {second} s");
        }
    }
}
