//! What the example programs and the tests share.
//!
//! - [`EchoServer`], [`DnsServer`]: servers in this process, on threads of their own (`host`), that can
//!   be killed and brought back.
//! - [`Platform`]: what differs between tokio and smol for a program that runs on either.
//! - [`Exchange`], [`EchoConnector`]: the echo protocol on a pooled connection.
//! - [`Load`]: claimers at work; [`Tally`]: what they counted; [`Watch`]: a line a second;
//!   [`Summary`]: the last line. [`screen`]: all of it on a terminal.
//! - [`options`]: what programs are asked to do; [`probes`]: how to look on from outside; `stats`, with the
//!   feature `qtop`: how to be looked at.

mod claimer;
mod dns;
mod echo;
mod exchange;
mod host;
mod load;
pub mod options;
mod platform;
pub mod probes;
pub mod screen;
#[cfg(feature = "qtop")]
pub mod stats;
mod summary;
mod watch;

pub use claimer::{Doing, Seen};
pub use dns::DnsServer;
pub use echo::EchoServer;
pub use exchange::{EchoConnector, Exchange};
pub use load::{Load, Tally, Work, describe};
pub use platform::{OnSmol, OnTokio, Platform};
pub use summary::Summary;
pub use watch::Watch;
