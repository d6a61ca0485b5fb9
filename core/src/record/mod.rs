//! What happens to a machine as a log, and a log as something that happens again.
//!
//! ```text
//! qorb log 2
//! pool {"New":{"policy":{..},"dice":{"Seeded":7},"at":0}}
//! 0 backends a@127.0.0.1:1000
//!     b0 added
//!     connect s0 b0
//! 10 connected s0 ok
//!     b0 online
//! end 2
//! ```
//!
//! The first line names the format and its version. The second says which machine it was and how it began:
//! with what its constructor took, or with its whole state. Then comes one line for each event, with the
//! milliseconds at which the machine was told, and indented under it what the machine asked for: the text
//! of transcripts. The last line counts the events, so that a log that was cut off is known as such. A line
//! that begins with `#` is a remark, which changes nothing.
//!
//! - [`Recorder`] writes one beside a machine; [`Ring`] remembers only the latest events.
//! - [`replay`] reads one, lets it happen again and compares; [`ReplayError`] says what went wrong. A
//!   [`Witness`] looks on.
//! - `words` reads what the events of both machines have in common.
//! - `pool/record.rs` and `dns/record.rs` are what is special about each machine.

mod error;
mod replay;
mod ring;
mod witness;
pub(crate) mod words;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{Difference, ReplayError};
pub use replay::{Replayed, replay, replay_before};
pub use ring::Ring;
pub use witness::Witness;

use crate::machine::Machine;
use crate::time::Timestamp;

/// What the first line of every log is.
const FORMAT: &str = "qorb log";
/// The version that is written and read.
const VERSION: u32 = 2;
/// What is before an action.
const INDENT: &str = "    ";
/// What is before a remark.
const REMARK: &str = "# ";

/// A machine whose events and actions can be written, and whose events can be read.
pub trait Recorded: Machine + Sized {
    /// What it is called in the header of a log.
    const NAME: &'static str;
    /// How it began: what its constructor takes, or its state.
    type Beginning: Serialize + DeserializeOwned;

    /// The machine that begins so.
    ///
    /// # Errors
    ///
    /// Says why there is none.
    fn begin(beginning: Self::Beginning) -> Result<Self, String>;

    /// An event as a line of text, the time first.
    fn event_line(&self, now: Timestamp, event: &Self::Event) -> String;

    /// The event that [`Recorded::event_line`] wrote after the time.
    ///
    /// # Errors
    ///
    /// Says what cannot be read.
    fn read_event(text: &str) -> Result<Self::Event, String>;

    /// Whether all that this event names exists: a log may be damaged, and a machine trusts its embedder.
    ///
    /// # Errors
    ///
    /// Says what the event names that cannot be.
    fn admits(&self, _event: &Self::Event) -> Result<(), String> {
        Ok(())
    }

    /// An action as a line of text.
    fn action_line(action: &Self::Action) -> String;

    /// Checks what must always hold between two events.
    ///
    /// # Errors
    ///
    /// Says what does not, beginning with the rule's number.
    fn check(&self) -> Result<(), String>;
}

/// A machine that writes down all that happens to it.
#[derive(Clone, Debug)]
pub struct Recorder<M> {
    machine: M,
    log: String,
    events: u64,
}

impl<M: Recorded> Recorder<M> {
    /// A machine that begins so, and the log of that.
    ///
    /// # Errors
    ///
    /// Says why there is no such machine.
    ///
    /// # Panics
    ///
    /// Panics on a beginning that JSON cannot say; those of this crate it can.
    pub fn new(beginning: M::Beginning) -> Result<Self, String> {
        let header = serde_json::to_string(&beginning).expect("a beginning is plain data");
        let log = format!("{FORMAT} {VERSION}\n{} {header}\n", M::NAME);
        Ok(Self { machine: M::begin(beginning)?, log, events: 0 })
    }

    /// A machine that begins so, and to which all of this has happened.
    ///
    /// # Errors
    ///
    /// Says why there is no such machine.
    pub fn retell(
        beginning: M::Beginning,
        events: impl IntoIterator<Item = (Timestamp, M::Event)>,
    ) -> Result<Self, String> {
        let mut recorder = Self::new(beginning)?;
        let mut out = Vec::new();
        for (now, event) in events {
            recorder.handle(now, event, &mut out);
            out.clear();
        }
        Ok(recorder)
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Writes a line that changes nothing, for whoever reads the log.
    pub fn remark(&mut self, text: &str) {
        writeln!(self.log, "{REMARK}{text}").expect("a string takes everything");
    }

    /// The whole log up to now. An event that the machine did not survive is the last one in it.
    #[must_use]
    pub fn log(&self) -> String {
        format!("{}end {}\n", self.log, self.events)
    }
}

impl<M: Recorded> Machine for Recorder<M> {
    type Event = M::Event;
    type Action = M::Action;

    fn handle(&mut self, now: Timestamp, event: M::Event, out: &mut Vec<M::Action>) {
        let before = out.len();
        self.events += 1;
        self.log += &self.machine.event_line(now, &event);
        self.log.push('\n');
        self.machine.handle(now, event, out);
        for action in &out[before..] {
            writeln!(self.log, "{INDENT}{}", M::action_line(action)).expect("a string takes everything");
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.machine.deadline()
    }
}
