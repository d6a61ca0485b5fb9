//! What a stats server says, read without trust.
//!
//! Only what the first of its kind sends is needed: everything newer is blank where it is missing, and what
//! nobody here knows is passed over.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;

/// The longest frame that is read, in bytes: ten thousand backends fit.
pub const LONGEST: usize = 8 << 20;

/// One frame: a pool at one instant.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Frame {
    /// The pool's name.
    pub name: Option<Text>,
    /// When it was made, in milliseconds since 1970, by the clock of whoever made it.
    pub at_ms: Option<u64>,
    /// Whether the pool has ended.
    #[serde(default)]
    pub ended: bool,
    /// Claims since the frame before it.
    #[serde(default)]
    pub claims: u64,
    /// Claims since the pool's beginning.
    pub total_claims: Option<u64>,
    /// Claims that had a connection at once.
    pub granted_at_once: Option<u64>,
    /// Claims that had one after they had waited.
    pub granted_after_waiting: Option<u64>,
    /// Claims that had none, by the name of the reason.
    pub denied: Option<BTreeMap<Text, u64>>,
    /// Claims that were given up by whoever made them.
    pub cancelled: Option<u64>,
    /// Claims that wait now.
    pub waiting: Option<u64>,
    /// How long claims waited.
    pub wait: Option<Spread>,
    /// How long connections were held.
    pub hold: Option<Spread>,
    /// The handles that are out, those held longest first.
    #[serde(default)]
    pub handles: Vec<HandleOut>,
    /// The slot sets, by their backends.
    pub sets: BTreeMap<Text, SlotSet>,
}

/// Half of some durations, and all but a hundredth of them, were at most so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Spread {
    /// The median, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
}

/// A connection in the hands of a claimer.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct HandleOut {
    /// Its slot.
    pub slot_id: u64,
    /// Whose backend is this.
    pub backend: Text,
    /// For how long, in milliseconds.
    pub held_ms: u64,
    /// What its claimer calls it.
    pub label: Option<Text>,
}

/// The slots of one backend, and what is known about it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SlotSet {
    /// Slots whose connection is checked or recycled.
    pub checking_slots: u64,
    /// Slots whose connection a claimer holds.
    pub claimed_slots: u64,
    /// Slots that connect.
    pub connecting_slots: u64,
    /// Slots whose connection is at rest.
    pub unclaimed_slots: u64,
    /// Claims that were granted one of its connections, ever.
    pub total_claims: u64,
    /// The backend's name.
    pub name: Option<Text>,
    /// The backend's address.
    pub address: Option<Text>,
    /// Its priority: the lowest is used first.
    pub priority: Option<u64>,
    /// Its share among those of its priority.
    pub weight: Option<u64>,
    /// Whether a slot is connected.
    pub online: Option<bool>,
    /// Whether the resolver knows it still.
    pub in_set: Option<bool>,
    /// What came of the latest connect: untried, down or up.
    pub standing: Option<Text>,
    /// Failures in the window that back-off looks at.
    pub failures: Option<u64>,
    /// Connects that failed, ever.
    pub connect_failures: Option<u64>,
    /// Slots that are on their way out.
    pub draining_slots: Option<u64>,
    /// What went wrong latest.
    pub last_error: Option<Text>,
    /// When it is dialled again, in milliseconds from the frame.
    pub next_attempt_in_ms: Option<u64>,
}

/// Why everything is as it is: a sentence for the queue and one for every backend.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// About the claims that wait.
    pub queue: Text,
    /// About each backend.
    pub backends: BTreeMap<Text, Text>,
}

/// The pools of a process.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Pools {
    /// Their names, as they were given.
    pub pools: Vec<String>,
}

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// It is none: why, in words that can be shown.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| Text::from(error.to_string()).to_string())
    }
}

impl SlotSet {
    /// Slots with a live connection.
    #[must_use]
    pub fn connected(&self) -> u64 {
        self.unclaimed_slots.saturating_add(self.checking_slots).saturating_add(self.claimed_slots)
    }
}

/// Words from outside that can be shown: what would steer a terminal, or make text look like other text,
/// is spelt out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize)]
#[serde(from = "String")]
pub struct Text(String);

impl From<String> for Text {
    fn from(text: String) -> Self {
        if !text.contains(is_treacherous) {
            return Self(text);
        }
        let spelt = |c: char| if is_treacherous(c) { c.escape_default().to_string() } else { c.to_string() };
        Self(text.chars().map(spelt).collect())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Control characters, and those that are invisible or turn the direction of writing.
pub(crate) fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_the_original_is_enough() {
        let frame = Frame::read(br#"{"claims":3,"sets":{"[::1]:1":{"checking_slots":0,"claimed_slots":1,"connecting_slots":0,"total_claims":9,"unclaimed_slots":7}}}"#);
        let frame = frame.expect("it is one");
        let set = frame.sets.values().next().expect("there is one");
        assert_eq!((frame.claims, frame.waiting, set.total_claims, set.connected()), (3, None, 9, 8));
        assert_eq!((set.standing.as_deref(), set.online), (None, None));
    }

    #[test]
    fn what_is_no_frame_is_refused_with_a_reason_and_never_panics() {
        let deep = "[".repeat(100_000);
        let table: [(&[u8], &str); 8] = [
            (b"", "EOF"),
            (b"{}", "missing field `sets`"),
            (b"null", "invalid type"),
            (b"\xff\xfe", "expected value"),
            (br#"{"sets":{},"claims":-1}"#, "invalid value"),
            (br#"{"sets":{},"claims":1e400}"#, "number out of range"),
            (br#"{"sets":{},"claims":0"#, "EOF"),
            (deep.as_bytes(), "invalid type"),
        ];
        for (bytes, reason) in table {
            let error = Frame::read(bytes).expect_err("it is none");
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn no_word_steers_the_terminal() {
        let frame =
            Frame::read("{\"name\":\"a\\u001b[2J\\u009b\u{202e}é\",\"sets\":{\"x\\n\":{}}}".as_bytes());
        let frame = frame.expect("it is one");
        assert_eq!(frame.name.as_deref(), Some(r"a\u{1b}[2J\u{9b}\u{202e}é"));
        assert_eq!(frame.sets.keys().next().map(|key| &**key), Some(r"x\n"));
    }
}
