//! Many pools of the real machine in front of many backends, in one virtual clock: what they do to each
//! other.
//!
//! - `world` is the clock and the one queue of all that will happen; [`scenarios`](SCENARIOS) move it
//!   along and judge.
//! - `pool` is a pool machine with its callers; `server` is a backend with its limits; `ledger` is what is
//!   counted.
//! - [`Report`] is what came of a scenario: its pass lines, and its course for a chart.

mod ledger;
mod pool;
mod report;
mod scenarios;
mod server;
mod world;

use std::time::Duration;

use qorb_core::Timestamp;
use qorb_core::pool::{Policy, SetConfig};

pub use ledger::Sample;
pub use report::{Line, Report};
pub use scenarios::{SCENARIOS, Scenario};

/// How large a fleet is, and for how long it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many pools.
    pub pools: usize,
    /// How many backends. At most 60 000.
    pub backends: usize,
    /// How long scenarios run that have no length of their own.
    pub span: Duration,
    /// Decides every chance.
    pub seed: u64,
    /// Is told now and then how far it is.
    pub onlooker: fn(Glance),
}

/// A fleet as small as may be: every scenario passes in it. In smaller ones chance and smallness alone break lines.
pub const LEAST: Size =
    Size { pools: 20, backends: 10, span: Duration::from_secs(600), seed: 1, onlooker: |_| {} };

/// How far a scenario is.
#[derive(Clone, Copy, Debug)]
pub struct Glance {
    /// The virtual time.
    pub now: Timestamp,
    /// How many events the machines have handled.
    pub events: u64,
}

/// How callers use a pool.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Load {
    /// Nobody calls.
    None,
    /// Callers come by chance, this often on average.
    Open {
        /// The mean time between two.
        gap: Duration,
        /// The mean time for which each holds its connection.
        hold: Duration,
        /// How many per cent of them walk off after at most `hold`, whether they wait or have a connection.
        cancelling: u64,
    },
    /// One caller at a time, who comes back at once.
    Closed {
        /// For how long each holds its connection.
        hold: Duration,
    },
}

/// The defaults, but that a backend which is down is dialled every ten seconds.
#[must_use]
pub fn policy() -> Policy {
    let set_config = SetConfig { max_connection_backoff: Duration::from_secs(10), ..SetConfig::default() };
    Policy { set_config, ..Policy::default() }
}
