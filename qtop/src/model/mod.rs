//! What the monitor knows: frames, keys and the time go in, rows and titles come out. No I/O.
//!
//! - [`Model`]: all of it; `steps`: what keys do to it; [`status`]: how the link is.
//! - [`rates`]: counters become rates; [`row`]: backends become rows of columns; [`figures`]: numbers become
//!   text.

pub mod figures;
pub mod rates;
pub mod row;
pub mod status;
mod steps;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::frame::{Explanation, Frame, Text};
use rates::{Lap, Rate, Stopwatch};
use row::{Column, Rates, Row};
use status::Link;

pub use steps::Wish;

/// A pool, as it is watched.
#[derive(Clone, PartialEq, Debug)]
pub struct Model {
    /// How the link to the server is.
    pub link: Link,
    /// The latest frame that is shown.
    pub frame: Option<Frame>,
    /// Claims since the pool's beginning, or since ours where nobody says.
    pub total_claims: u64,
    /// How many frames were read.
    pub frames: u64,
    /// Why the latest frame was none.
    pub bad: Option<String>,
    /// Something to be told once.
    pub message: Option<String>,
    /// Where the server is, for people.
    pub address: String,
    /// Seconds between two frames, as they were asked for.
    pub seconds: u8,
    /// What is asked of the screen.
    pub desk: Desk,
    /// Why everything is as it is, where the server says so.
    pub explanation: Option<Explanation>,
    stopwatch: Stopwatch,
    claims: Rate,
    rates: BTreeMap<Text, Rates>,
}

/// What its user has chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Desk {
    /// What is sorted by.
    pub sort: Column,
    /// Whether the other way round.
    pub reversed: bool,
    /// What backends have to contain.
    pub filter: String,
    /// Whether that is being written.
    pub typing: bool,
    /// Whether frames are passed over.
    pub paused: bool,
    /// Whether the details are open.
    pub detail: bool,
    /// Whether the help is open, and how far it is scrolled.
    pub help: Option<usize>,
    /// How far the details are scrolled.
    pub read: usize,
    /// How many rows a screen has.
    pub page: usize,
    /// The backend that is pointed at, and its place: another takes it when it is gone.
    pointed: Option<(Text, usize)>,
}

impl Model {
    /// Before anything is heard, at `now` since the program's beginning.
    #[must_use]
    pub fn new(address: String, seconds: u8, now: Duration) -> Self {
        let desk = Desk {
            sort: Column::Name,
            reversed: false,
            filter: String::new(),
            typing: false,
            paused: false,
            detail: false,
            help: None,
            read: 0,
            page: 1,
            pointed: None,
        };
        Self {
            link: Link::new(now),
            frame: None,
            total_claims: 0,
            frames: 0,
            bad: None,
            message: None,
            address,
            seconds,
            desk,
            explanation: None,
            stopwatch: Stopwatch::default(),
            claims: Rate::default(),
            rates: BTreeMap::new(),
        }
    }

    /// The server is asked for another pool: what was measured means nothing any more.
    pub fn turned_to(&mut self, address: String, now: Duration) {
        let desk = self.desk.clone();
        *self = Self { desk, frames: self.frames, ..Self::new(address, self.seconds, now) };
    }

    /// The server is asked anew, for frames every so many seconds.
    pub fn paced(&mut self, seconds: u8, now: Duration) {
        self.seconds = seconds;
        self.link = Link::new(now);
        self.interrupted();
    }

    /// Bytes came that are meant to be a frame.
    pub fn heard(&mut self, bytes: &[u8], now: Duration) {
        self.link = Link::Live { since: now };
        match Frame::read(bytes) {
            Ok(frame) => {
                self.bad = None;
                self.frames += 1;
                self.take(frame, now);
            }
            Err(error) => self.bad = Some(error),
        }
    }

    /// The link was lost, and is tried again after a while.
    pub fn lost(&mut self, why: String, again: Duration, now: Duration) {
        self.link = Link::Lost { why, until: now.saturating_add(again) };
        self.bad = None;
        self.interrupted();
    }

    fn interrupted(&mut self) {
        if self.frame.as_ref().is_none_or(|frame| frame.total_claims.is_none()) {
            // What is counted from frame to frame was not counted meanwhile.
            self.stopwatch = Stopwatch::default();
        }
    }

    fn take(&mut self, frame: Frame, now: Duration) {
        self.total_claims = frame.total_claims.unwrap_or(self.total_claims.saturating_add(frame.claims));
        if self.desk.paused {
            return;
        }
        let lap = self.stopwatch.lap(frame.at_ms, now);
        self.claims.count(Some(self.total_claims), lap);
        self.rates.retain(|key, _| frame.sets.contains_key(key));
        for (key, set) in &frame.sets {
            match self.rates.get_mut(key) {
                Some(rates) => rates.count(set, lap),
                // Its first count has nothing before it, whenever it comes.
                None => self.rates.entry(key.clone()).or_default().count(set, Lap::First),
            }
        }
        self.frame = Some(frame);
    }

    /// Claims in a second, of late.
    #[must_use]
    pub fn claims(&self) -> &Rate {
        &self.claims
    }

    /// The pool's name, where it is told.
    #[must_use]
    pub fn name(&self) -> &str {
        self.frame.as_ref().and_then(|frame| frame.name.as_deref()).unwrap_or("pool")
    }

    /// All backends, in the order of the server's frame.
    pub fn backends(&self) -> impl Iterator<Item = Row<'_>> {
        let sets = self.frame.iter().flat_map(|frame| &frame.sets);
        sets.map(|(key, set)| Row::new(key, set, self.rates.get(key)))
    }

    /// The backends that pass the filter, sorted.
    #[must_use]
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<_> = self.backends().filter(|row| row.passes(&self.desk.filter)).collect();
        rows.sort_by(|one, other| {
            let order = self.desk.sort.order(one, other);
            let order = if self.desk.reversed { order.reverse() } else { order };
            order.then_with(|| one.key.cmp(other.key))
        });
        rows
    }

    /// The place of the backend that is pointed at: the one that was chosen, wherever it is now; where it is
    /// gone, the one that has its place.
    #[must_use]
    pub fn pointed(&self, rows: &[Row<'_>]) -> usize {
        let last = rows.len().saturating_sub(1);
        let Some((key, place)) = &self.desk.pointed else { return 0 };
        rows.iter().position(|row| row.key == key).unwrap_or_else(|| (*place).min(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(claims: u64, total: Option<u64>, a: u64) -> Vec<u8> {
        let total = total.map_or(String::new(), |total| format!(r#""total_claims":{total},"#));
        format!(r#"{{"claims":{claims},{total}"sets":{{"a":{{"total_claims":{a}}},"b":{{}}}}}}"#).into_bytes()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn watching(frames: &[(u64, Option<u64>, u64)]) -> Model {
        let mut model = Model::new("here".to_owned(), 1, at(0));
        for ((claims, total, a), second) in frames.iter().zip(1..) {
            model.heard(&frame(*claims, *total, *a), at(second));
        }
        model
    }

    #[test]
    fn an_original_counts_from_frame_to_frame() {
        let mut model = watching(&[(0, None, 100), (5, None, 105)]);
        assert_eq!((model.claims().per_second(), model.total_claims), (Some(5.0), 5));
        model.lost("gone".to_owned(), at(1), at(3));
        model.heard(&frame(0, None, 200), at(10));
        assert_eq!(model.claims().per_second(), None, "nobody counted meanwhile");
        model.heard(&frame(7, None, 207), at(11));
        assert_eq!((model.claims().per_second(), model.total_claims), (Some(7.0), 12));
    }

    #[test]
    fn a_server_that_restarts_is_a_start_and_one_that_only_was_away_is_none() {
        let mut model = watching(&[(0, Some(100), 100), (5, Some(110), 105)]);
        model.lost("gone".to_owned(), at(1), at(3));
        model.heard(&frame(0, Some(150), 120), at(12));
        assert_eq!(model.claims().per_second(), Some(4.0), "40 in 10 s");
        model.heard(&frame(0, Some(3), 1), at(13));
        assert_eq!(model.claims().per_second(), None);
        assert_eq!(model.rows()[0].claims(), None);
        model.heard(&frame(1, Some(4), 2), at(14));
        assert_eq!((model.claims().per_second(), model.rows()[0].claims()), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn a_bad_frame_is_told_and_forgotten_with_the_next() {
        let mut model = watching(&[(0, None, 1)]);
        model.heard(b"{", at(2));
        assert!(model.bad.is_some() && model.frame.is_some());
        assert_eq!(model.frames, 1);
        model.heard(&frame(0, None, 1), at(3));
        assert_eq!((model.bad.as_ref(), model.frames), (None, 2));
    }

    #[test]
    fn a_pause_stands_still_and_is_measured_as_a_whole() {
        let mut model = watching(&[(0, None, 0), (5, None, 5)]);
        model.desk.paused = true;
        model.heard(&frame(10, None, 15), at(3));
        assert_eq!(model.rows()[0].set.total_claims, 5);
        model.desk.paused = false;
        model.heard(&frame(10, None, 25), at(4));
        assert_eq!(model.claims().per_second(), Some(10.0), "20 in 2 s");
        assert_eq!(model.rows()[0].claims(), Some(10.0));
    }

    #[test]
    fn numbers_without_bound_are_cut_off() {
        let model = watching(&[(u64::MAX, None, u64::MAX), (u64::MAX, None, 0)]);
        assert_eq!(model.total_claims, u64::MAX);
        let json = format!(r#"{{"sets":{{"a":{{"claimed_slots":{0},"unclaimed_slots":{0}}}}}}}"#, u64::MAX);
        assert_eq!(
            Frame::read(json.as_bytes()).expect("it is one").sets.values().next().map(|set| set.connected()),
            Some(u64::MAX)
        );
    }
}
