//! The pure machines of qorb.
//!
//! Everything that is *decided* about a connection pool is decided here, by two machines that know
//! no clock, no sockets, no threads and no locks: [`pool`] hands out connections, [`dns`] finds the
//! backends they lead to. Both take events with the time at which they happen and answer with
//! actions for an embedder to carry out. [`machine`] is the contract between the two sides. With the
//! feature `record`, what happens to either can be written to a log and replayed.
#![no_std]

extern crate alloc;

pub mod backend;
pub mod dice;
pub mod digest;
pub mod dns;
pub mod machine;
mod overwrite;
pub mod pool;
#[cfg(feature = "record")]
pub mod record;
pub mod time;

pub use backend::Backend;
pub use machine::Machine;
pub use time::Timestamp;
