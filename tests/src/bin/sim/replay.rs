//! `sim replay`: a log that happens again.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use qorb_examples::options::say;
use qorb_tests::walk::{Seen, again};
use serde_json::json;

use super::Outcome;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A log that `record_to` of a pool or this program has written
    file: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let path = arguments.file.display();
    let log = fs::read_to_string(&arguments.file).map_err(|error| format!("{path}: {error}"))?;
    let began = Instant::now();
    match again(&log).map_err(|error| format!("{path}: {error}"))? {
        Seen::Well { replayed, shadowed, walked, .. } => {
            let seconds = began.elapsed().as_secs_f64();
            let summary = json!({
                "machine": replayed.machine,
                "events": replayed.events,
                "actions": replayed.actions,
                "contract_checked": shadowed,
                "walked": walked,
                "events_per_second": (replayed.events as f64 / seconds).round(),
                "violations": 0,
            });
            Ok(Outcome { holds: true, summary })
        }
        Seen::Violation { told, .. } => {
            say(&told)?;
            let summary = json!({ "violations": 1, "violation": told.lines().next() });
            Ok(Outcome { holds: false, summary })
        }
    }
}
