//! A backend as one line of a table.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Duration;

use super::figures;
use super::rates::{Lap, Rate};
use crate::frame::{SlotSet, Text};

/// The rates of one backend.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rates {
    claims: Rate,
    failures: Rate,
}

impl Rates {
    /// Notes what the counters of a slot set stand at.
    pub fn count(&mut self, set: &SlotSet, lap: Lap) {
        self.claims.count(Some(set.total_claims), lap);
        self.failures.count(set.connect_failures, lap);
    }
}

/// What there is to say about a backend.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The key of its slot set.
    pub key: &'a Text,
    /// Its slot set.
    pub set: &'a SlotSet,
    rates: Option<&'a Rates>,
}

/// How a backend is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// Its latest connect succeeded, or a connection lives.
    Up,
    /// No connect to it has ended.
    Untried,
    /// Its latest connect failed, and no connection lives.
    Down,
    /// The resolver does not know it any more.
    Leaving,
    /// Nobody says.
    Unknown,
}

impl State {
    /// A glyph, the same in ASCII, and a word, for none of them is to be told by its colour.
    #[must_use]
    pub fn words(self) -> (char, char, &'static str) {
        match self {
            Self::Up => ('●', '+', "up"),
            Self::Untried => ('○', '?', "untried"),
            Self::Down => ('✗', 'x', "down"),
            Self::Leaving => ('◌', '-', "leaving"),
            Self::Unknown => (' ', ' ', ""),
        }
    }
}

impl<'a> Row<'a> {
    /// Of a slot set and its rates.
    #[must_use]
    pub fn new(key: &'a Text, set: &'a SlotSet, rates: Option<&'a Rates>) -> Self {
        Self { key, set, rates }
    }

    /// The backend's name; an original server has only the key.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.set.name.as_deref().unwrap_or(self.key)
    }

    /// The backend's address, where it is told.
    #[must_use]
    pub fn address(&self) -> &'a str {
        self.set.address.as_deref().unwrap_or_default()
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> State {
        if self.set.in_set == Some(false) {
            return State::Leaving;
        }
        match self.set.standing.as_deref() {
            Some("up") => State::Up,
            Some("down") => State::Down,
            Some("untried") => State::Untried,
            _ if self.set.connected() > 0 => State::Up,
            _ => State::Unknown,
        }
    }

    /// Claims in a second.
    #[must_use]
    pub fn claims(&self) -> Option<f64> {
        self.rates.and_then(|rates| rates.claims.per_second())
    }

    /// Failed connects in a second.
    #[must_use]
    pub fn failures(&self) -> Option<f64> {
        self.rates.and_then(|rates| rates.failures.per_second())
    }

    /// The latest rates of claims.
    #[must_use]
    pub fn history(&self) -> Option<&'a VecDeque<f64>> {
        self.rates.map(|rates| rates.claims.history())
    }

    fn has(&self, needle: &str) -> bool {
        let state = self.state().words().2;
        [&**self.key, self.name(), self.address(), state]
            .iter()
            .any(|text| text.to_lowercase().contains(needle))
    }

    /// Whether a filter lets it pass: part of its name, its address or its state, in upper or lower case.
    #[must_use]
    pub fn passes(&self, filter: &str) -> bool {
        filter.is_empty() || self.has(&filter.to_lowercase())
    }
}

/// What a table shows of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// The backend's name.
    Name,
    /// Its address.
    Address,
    /// How it is.
    State,
    /// Claims in a second.
    Claims,
    /// The same of late, as a line.
    Recent,
    /// Slots that connect.
    Connecting,
    /// Slots at rest.
    Unclaimed,
    /// Slots that are checked.
    Checking,
    /// Slots that are held.
    Claimed,
    /// Failed connects in a second.
    Failures,
    /// When it is dialled again.
    NextTry,
    /// Claims ever.
    Total,
}

impl Column {
    /// All of them, in their order on the screen.
    pub const ALL: [Self; 12] = [
        Self::Name,
        Self::Address,
        Self::State,
        Self::Claims,
        Self::Recent,
        Self::Connecting,
        Self::Unclaimed,
        Self::Checking,
        Self::Claimed,
        Self::Failures,
        Self::NextTry,
        Self::Total,
    ];

    /// All of them, the one that is missed most first.
    pub const BY_WORTH: [Self; 12] = [
        Self::Name,
        Self::State,
        Self::Claims,
        Self::Claimed,
        Self::Unclaimed,
        Self::Failures,
        Self::Total,
        Self::Connecting,
        Self::NextTry,
        Self::Address,
        Self::Checking,
        Self::Recent,
    ];

    /// Its heading.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Address => "ADDRESS",
            Self::State => "STATE",
            Self::Claims => "CLAIMS/s",
            Self::Recent => "RECENT",
            Self::Connecting => "CONNECTING",
            Self::Unclaimed => "UNCLAIMED",
            Self::Checking => "CHECKING",
            Self::Claimed => "CLAIMED",
            Self::Failures => "FAIL/s",
            Self::NextTry => "NEXT TRY",
            Self::Total => "TOTAL",
        }
    }

    /// Whether it is a number, which stands to the right and is sorted from the largest.
    #[must_use]
    pub fn is_number(self) -> bool {
        !matches!(self, Self::Name | Self::Address | Self::State | Self::Recent)
    }

    /// What stands in it. The line of recent rates is the view's affair.
    #[must_use]
    pub fn text(self, row: &Row<'_>) -> String {
        match self {
            Self::Name => row.name().to_owned(),
            Self::Address => row.address().to_owned(),
            Self::State => row.state().words().2.to_owned(),
            Self::Claims => figures::rate(row.claims()),
            Self::Recent => String::new(),
            Self::Connecting => figures::count(row.set.connecting_slots),
            Self::Unclaimed => figures::count(row.set.unclaimed_slots),
            Self::Checking => figures::count(row.set.checking_slots),
            Self::Claimed => figures::count(row.set.claimed_slots),
            Self::Failures => figures::rate(row.failures()),
            Self::NextTry => row
                .set
                .next_attempt_in_ms
                .map_or_else(String::new, |in_ms| figures::span(Duration::from_millis(in_ms))),
            Self::Total => figures::count(row.set.total_claims),
        }
    }

    /// Which of two comes first: text from A, numbers from the largest.
    #[must_use]
    pub fn order(self, one: &Row<'_>, other: &Row<'_>) -> Ordering {
        let rate = |rate: Option<f64>| rate.unwrap_or(-1.0);
        match self {
            Self::Name => one.name().cmp(other.name()),
            Self::Address => one.address().cmp(other.address()),
            Self::State => one.state().cmp(&other.state()),
            Self::Claims | Self::Recent => rate(other.claims()).total_cmp(&rate(one.claims())),
            Self::Connecting => other.set.connecting_slots.cmp(&one.set.connecting_slots),
            Self::Unclaimed => other.set.unclaimed_slots.cmp(&one.set.unclaimed_slots),
            Self::Checking => other.set.checking_slots.cmp(&one.set.checking_slots),
            Self::Claimed => other.set.claimed_slots.cmp(&one.set.claimed_slots),
            Self::Failures => rate(other.failures()).total_cmp(&rate(one.failures())),
            Self::NextTry => other.set.next_attempt_in_ms.cmp(&one.set.next_attempt_in_ms),
            Self::Total => other.set.total_claims.cmp(&one.set.total_claims),
        }
    }

    /// The one so many places further, round and round.
    #[must_use]
    pub fn beside(self, places: isize) -> Self {
        let at = Self::ALL.iter().position(|column| *column == self).unwrap_or_default();
        let length = Self::ALL.len();
        Self::ALL[at.wrapping_add_signed(places).wrapping_add(length) % length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_its_place_and_its_worth() {
        for column in Column::ALL {
            assert_eq!(Column::BY_WORTH.iter().filter(|other| **other == column).count(), 1, "{column:?}");
            assert_eq!(column.beside(1).beside(-1), column);
        }
        assert_eq!(Column::Name.beside(-1), Column::Total);
        assert_eq!(Column::Total.beside(1), Column::Name);
    }

    #[test]
    fn the_state_of_an_original_backend_is_told_by_its_connections() {
        let key = Text::default();
        let state = |set: SlotSet| Row::new(&key, &set, None).state();
        let standing = |word: &str| Some(Text::from(word.to_owned()));
        assert_eq!(state(SlotSet::default()), State::Unknown);
        assert_eq!(state(SlotSet { connecting_slots: 1, ..SlotSet::default() }), State::Unknown);
        assert_eq!(state(SlotSet { claimed_slots: 1, ..SlotSet::default() }), State::Up);
        assert_eq!(state(SlotSet { standing: standing("down"), ..SlotSet::default() }), State::Down);
        let leaving = SlotSet { in_set: Some(false), standing: standing("up"), ..SlotSet::default() };
        assert_eq!(state(leaving), State::Leaving);
        assert_eq!(state(SlotSet { standing: standing("odd"), ..SlotSet::default() }), State::Unknown);
    }
}
