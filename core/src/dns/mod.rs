//! The resolver machine.

mod event;

pub use event::{Action, Event, QueryId, SocketFailure};

/// A fact for logs and metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {}
