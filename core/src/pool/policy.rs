//! What a pool's owner may choose, what it means, and what is refused.

use core::fmt;
use core::time::Duration;

/// How many connections a pool keeps, and how patient it is.
///
/// `Duration::MAX` means "never" in every field that holds a time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "record", serde(default, deny_unknown_fields))]
pub struct Policy {
    /// Unclaimed connections wanted, over all backends, on top of those claimed. With 0 connections
    /// open on demand.
    pub spares_wanted: usize,
    /// The hard cap on slots in any state, over all backends. At least 1.
    pub max_slots: usize,
    /// How often slots are moved back into balance and surplus is closed. What a priority that is no longer
    /// used has left is closed after half of it to all of it, drawn each time. Above zero.
    pub rebalance_interval: Duration,
    /// From a claim to a usable connection, `on_acquire` included. Zero makes every claim "now or never".
    pub claim_timeout: Duration,
    /// How many claims may wait; one more is refused at once.
    pub max_waiting: usize,
    /// What holds for each backend.
    pub set_config: SetConfig,
}

/// How a pool treats each of its backends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "record", serde(default, deny_unknown_fields))]
pub struct SetConfig {
    /// The cap on one backend's slots. At least 1.
    pub max_count: usize,
    /// The pause after a first failed connect, doubled with each further one. Above zero.
    pub min_connection_backoff: Duration,
    /// The longest pause. At least `min_connection_backoff`.
    pub max_connection_backoff: Duration,
    /// The random part added to pauses and to the health interval, so that pools do not march in step.
    /// Zero is none.
    pub spread: Duration,
    /// How long a connection rests before it is checked. Above zero.
    pub health_interval: Duration,
    /// The bound on each check, recycle and `on_acquire`. Above zero.
    pub health_check_timeout: Duration,
    /// The bound on one connect. Above zero.
    pub connect_timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            spares_wanted: 8,
            max_slots: 16,
            rebalance_interval: Duration::from_secs(60),
            claim_timeout: Duration::from_secs(30),
            max_waiting: 10_000,
            set_config: SetConfig::default(),
        }
    }
}

impl Default for SetConfig {
    fn default() -> Self {
        Self {
            max_count: 16,
            min_connection_backoff: Duration::from_millis(20),
            max_connection_backoff: Duration::from_secs(30),
            spread: Duration::from_millis(20),
            health_interval: Duration::from_secs(30),
            health_check_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// A policy that cannot work: the field, and the bound it breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PolicyError {
    /// The field's name as it is written in the code.
    pub field: &'static str,
    /// What it would have to be.
    pub bound: &'static str,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy: {} must be {}", self.field, self.bound)
    }
}

impl core::error::Error for PolicyError {}

impl Policy {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// Names the first field that has no meaning, and its bound.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let set = &self.set_config;
        let refuse = |field, bound| Err(PolicyError { field, bound });
        if self.max_slots == 0 {
            return refuse("max_slots", "at least 1");
        }
        if set.max_count == 0 {
            return refuse("set_config.max_count", "at least 1");
        }
        if set.max_connection_backoff < set.min_connection_backoff {
            return refuse("set_config.max_connection_backoff", "at least min_connection_backoff");
        }
        let above_zero = [
            ("rebalance_interval", self.rebalance_interval),
            ("set_config.min_connection_backoff", set.min_connection_backoff),
            ("set_config.health_interval", set.health_interval),
            ("set_config.health_check_timeout", set.health_check_timeout),
            ("set_config.connect_timeout", set.connect_timeout),
        ];
        for (field, value) in above_zero {
            if value.is_zero() {
                return refuse(field, "above zero (Duration::MAX for never)");
            }
        }
        Ok(())
    }
}
