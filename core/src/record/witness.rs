//! Somebody who looks on.

use alloc::string::String;

use crate::machine::Machine;
use crate::time::Timestamp;

/// Somebody who looks on while a log happens again, and knows rules that the machine itself does not.
///
/// Whatever it objects to ends the replay as a breach.
pub trait Witness<M: Machine> {
    /// The machine has begun.
    fn begins(&mut self, _machine: &M) {}

    /// A remark comes next in the log.
    fn remark(&mut self, _text: &str) {}

    /// This event is about to happen.
    ///
    /// # Errors
    ///
    /// Says what does not hold.
    fn before(&mut self, _machine: &M, _now: Timestamp, _event: &M::Event) -> Result<(), String> {
        Ok(())
    }

    /// The event has happened, and the machine asks for this.
    ///
    /// # Errors
    ///
    /// Says what does not hold.
    fn after(&mut self, _machine: &M, _actions: &[M::Action]) -> Result<(), String> {
        Ok(())
    }

    /// Nothing more happens.
    ///
    /// # Errors
    ///
    /// Says what does not hold.
    fn over(&mut self, _machine: &M) -> Result<(), String> {
        Ok(())
    }
}

/// Nobody looks on.
impl<M: Machine> Witness<M> for () {}
