//! Log events, written down under the lock and told after it: a subscriber is the user's code.

use std::sync::Arc;

use qorb_core::pool::Failure;

use crate::error::SharedError;
use crate::link::Record;

/// Something that whoever runs the program may want to read.
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "nobody reads it"))]
pub(crate) enum Report {
    Added(Arc<Record>),
    Removed(Arc<Record>),
    Online(Arc<Record>),
    Offline(Arc<Record>),
    Failed(Arc<Record>, Failure, Option<SharedError>),
    #[cfg(feature = "record")]
    Breach(String),
}

impl Report {
    /// Whether anybody may be listening: without, none is made.
    pub(crate) const WANTED: bool = cfg!(feature = "tracing");

    /// Tells `tracing`.
    #[cfg(feature = "tracing")]
    pub(crate) fn tell(self, pool: &str) {
        match self {
            Self::Added(record) => tracing::info!(pool, backend = %record.backend, "backend added"),
            Self::Removed(record) => tracing::info!(pool, backend = %record.backend, "backend removed"),
            Self::Online(record) => tracing::info!(pool, backend = %record.backend, "backend online"),
            Self::Offline(record) => tracing::info!(pool, backend = %record.backend, "backend offline"),
            Self::Failed(record, failure, error) => {
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                tracing::warn!(pool, backend = %record.backend, ?failure, error, "connection failed");
            }
            #[cfg(feature = "record")]
            Self::Breach(breach) => tracing::error!(pool, breach, "a fault of the pool's own"),
        }
    }

    /// Tells nobody.
    #[cfg(not(feature = "tracing"))]
    pub(crate) fn tell(self, _pool: &str) {}
}
