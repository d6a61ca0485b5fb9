//! The times and counts that are the machine's own, because no policy names them.

use core::time::Duration;

/// How patient the pool is where its policy does not say.
///
/// A value rather than constants, so that the explorer can choose one in which all times are multiples of
/// each other; everybody else has [`Pace::USUAL`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Pace {
    /// How long a claimer may leave its grant unfetched before the next one gets it.
    pub fetch_timeout: Duration,
    /// A connection found broken this soon after its connect counts as a failed connect.
    pub early: Duration,
    /// How long a connect may take while claims wait and other backends were not dialled yet, at first.
    pub patience: Duration,
    /// How long a returned connection may not be closed for a probe after another one was.
    pub probe_room_pause: Duration,
    /// How often `on_acquire` may fail for one claim.
    pub acquire_tries: u8,
}

impl Pace {
    /// The pace of every pool in use.
    pub const USUAL: Self = Self {
        fetch_timeout: Duration::from_secs(1),
        early: Duration::from_secs(1),
        patience: Duration::from_millis(250),
        probe_room_pause: Duration::from_secs(1),
        acquire_tries: 3,
    };
}
