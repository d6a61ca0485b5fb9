//! The last line of a program: what came of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::load::Tally;

/// What came of a load, in one line of JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The runtime it ran on.
    pub runtime: String,
    /// Claims that got a connection.
    pub claims_ok: u64,
    /// Claims that got none.
    pub claims_failed: u64,
    /// Those that got one, by the name of the backend.
    pub by_backend: BTreeMap<String, u64>,
    /// The backend that was killed, or found dead, latest.
    pub killed: Option<String>,
    /// How long it took until it served again: after its return, or after its loss where nobody knows of
    /// the return.
    pub recovered_in_ms: Option<u64>,
}

impl Summary {
    /// Of what was counted on a runtime.
    #[must_use]
    pub fn new(runtime: &str, tally: Tally) -> Self {
        let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            runtime: runtime.to_owned(),
            claims_ok: tally.claims_ok,
            claims_failed: tally.claims_failed,
            by_backend: tally.by_backend,
            killed: tally.lost.map(|(backend, _)| backend.name.to_string()),
            recovered_in_ms: tally.recovered_in.map(millis),
        }
    }

    /// Whether every claim that was made got served, and one was made at all.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.claims_ok > 0 && self.claims_failed == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
