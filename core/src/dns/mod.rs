//! The resolver machine: one service name in, the current set of its backends out.
//!
//! It keeps a pool alive when DNS is slow, wrong, partial or gone: whatever happens, the last good set
//! stays until somebody says otherwise. The cast, from the outside in:
//!
//! - [`Resolver`] (`resolver`) is two searches at most: for the backends, and for servers to ask.
//! - `search` decides when the rounds for one name run and what is `published`.
//! - `round` is one pass over all servers; `server` is one of them and what it last said, its `view`.
//! - `lookup` is one server's part in a round: the SRV question, then the addresses.
//! - `exchange` is one question to one server: a few datagrams, perhaps a `stream`.
//! - `answer` reads what a message says to a question; `wire` turns bytes into messages, with hickory-proto.
//! - `ids` numbers the sockets and draws the message ids.
//! - [`Event`] and [`Action`] are the whole interface, [`Note`] what it tells on the way, [`Config`] what
//!   can be set. `likeness` tells which states behave alike. `text` is how all of it reads in a log, `record` how that is read back.

mod answer;
mod config;
mod event;
mod exchange;
mod ids;
mod likeness;
mod lookup;
mod note;
mod published;
#[cfg(feature = "record")]
mod record;
mod resolver;
mod round;
mod search;
mod server;
mod stream;
#[cfg(feature = "record")]
mod text;
mod view;
mod wire;

pub use config::{Addresses, Config, ConfigError, StalePolicy, Transport};
pub use event::{Action, Event, QueryId, SocketFailure};
pub use note::{Answer, Channel, Failure, Kind, Mismatch, Note, Question, Unusable};
#[cfg(feature = "record")]
pub use record::Beginning;
pub use resolver::{Named, Resolver};
pub use server::{Opinion, Origin, ServerStatus, Verdict};
