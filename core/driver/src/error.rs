//! What can go wrong, in sentences that say what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use qorb_core::dns::ConfigError;
use qorb_core::pool::{Denial, PolicyError};
use thiserror::Error;

/// An error of the user's connector, shared by everybody who is told of it.
pub type SharedError = Arc<dyn Error + Send + Sync + 'static>;

/// A runtime was asked for where none is running.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("no async runtime is running here: make the pool inside one")]
pub struct NoRuntime;

/// A pool could not be made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The policy cannot work: the field and its bound.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// There is no runtime for its tasks.
    #[error(transparent)]
    NoRuntime(#[from] NoRuntime),
}

/// A resolver cannot be made from a file that says whom the system asks.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SystemError {
    /// The file cannot be read.
    #[error("cannot read {}, which should say whom to ask for names: give the servers' addresses instead", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file names no server.
    #[error("{} names no server that can be asked: add a line with nameserver and an address to it", path.display())]
    NoServer {
        /// Which.
        path: PathBuf,
    },
    /// The rest cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A pool cannot be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum WaitReadyError {
    /// It will never open that many connections by itself.
    #[error(
        "{wanted} connections are wanted, but the policy opens {most} at most: raise spares_wanted and max_slots"
    )]
    TooMany {
        /// How many were asked for.
        wanted: usize,
        /// The lesser of `spares_wanted` and `max_slots`.
        most: usize,
    },
    /// The pool has ended.
    #[error("the pool has ended: make a new one")]
    Terminated,
}

/// The probe points could not be registered; the pool works without.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("the USDT probes could not be registered, so no tracer will see them: {0}")]
pub struct ProbeError(pub(crate) String);

/// An `on_acquire` took longer than `set_config.health_check_timeout`, or than its claim had time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("on_acquire took too long: it is bounded by health_check_timeout and the claim's deadline")]
pub struct TimedOut;

/// A method of the connector panicked.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("the connector panicked: {message}")]
pub struct Panicked {
    /// What the panic said.
    pub message: String,
}

impl Panicked {
    /// From what `catch_unwind` caught.
    pub(crate) fn new(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self { message: text.unwrap_or("(no message)").to_owned() }
    }
}

/// A claim got no connection: why, and what was going on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimError {
    /// Why.
    pub kind: Denial,
    /// How long the claim waited for it.
    pub waited: Duration,
    /// How many claims were waiting at its end.
    pub waiting: usize,
    /// What `on_acquire` said last, or the latest connect error of any backend.
    pub(crate) source: Option<SharedError>,
}

impl ClaimError {
    /// The name of the reason, as probes and metrics show it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        reason(self.kind)
    }
}

/// The name of a denial.
pub(crate) fn reason(kind: Denial) -> &'static str {
    match kind {
        Denial::NoBackends => "NoBackends",
        Denial::NoBackendsOnline => "NoBackendsOnline",
        Denial::AllClaimsUsed { .. } => "AllClaimsUsed",
        Denial::TooManyWaiting => "TooManyWaiting",
        Denial::AcquireFailed => "AcquireFailed",
        Denial::Terminated => "Terminated",
    }
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Denial::NoBackends => f.write_str(
                "the resolver knows no backends: check the service's name, and that its DNS servers answer",
            ),
            Denial::NoBackendsOnline => f.write_str("no backend can be reached: check that one is up"),
            Denial::AllClaimsUsed { checking: 0 } => {
                f.write_str("all connections are in use: raise max_slots or hold them for less time")
            }
            Denial::AllClaimsUsed { checking } => write!(
                f,
                "all connections are in use, {checking} of them being checked: raise max_slots or hold them for less time"
            ),
            Denial::TooManyWaiting => {
                f.write_str("too many claims wait already: shed load or raise max_waiting")
            }
            Denial::AcquireFailed => {
                f.write_str("on_acquire kept failing: check what it does with its backend")
            }
            Denial::Terminated => f.write_str("the pool has ended: make a new one"),
        }?;
        write!(f, " (waited {:?}, {} waiting)", self.waited, self.waiting)
    }
}

impl Error for ClaimError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}
