//! The log of a walk: all that its pool's machine was told.

use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fs, process};

use qorb_core::Timestamp;
use qorb_core::dice::Dice;
use qorb_core::pool::{Beginning, PoolMachine};
use qorb_core::record::Recorder;
use qorb_driver::Policy;

use super::{STEPS, Span, Walk};
use crate::panics::contained;
use crate::sim::script::SimPool;

/// More events than any walk has.
const ALL: usize = 1 << 20;

/// Walks through the world of this seed with a pool that remembers all that happens to it, which takes no short
/// ways; and gives its log, to the end of the pool or of the walk.
#[must_use]
pub fn recorded(seed: u64) -> String {
    told(Span { seed, steps: STEPS })
}

pub(super) fn told(span: Span) -> String {
    let beginning = Beginning::New { policy: Policy::default(), dice: Dice::Fixed, at: Timestamp::EPOCH };
    let nothing = Recorder::<PoolMachine>::new(beginning).expect("the default is valid").log();
    let log = Arc::new(Mutex::new(nothing));
    // What goes wrong is known, or goes wrong only where nobody remembers.
    let _ = contained(|| {
        let mut walk = Walk::new(span);
        walk.pool.record(ALL);
        walk.scribe = Some(Scribe { seed: span.seed, pool: walk.pool.clone(), log: Arc::clone(&log) });
        walk.run()
    });
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.clone()
}

/// Keeps what a pool remembers, at the very end of it.
pub(super) struct Scribe {
    seed: u64,
    pool: SimPool,
    log: Arc<Mutex<String>>,
}

impl Drop for Scribe {
    fn drop(&mut self) {
        let path = env::temp_dir().join(format!("qorb-walk-{}-{}.log", process::id(), self.seed));
        // Without a file, the log is that of a pool to which nothing happens.
        if let Ok(log) = self.pool.record_to(&path).and_then(|()| fs::read_to_string(&path)) {
            *self.log.lock().unwrap_or_else(PoisonError::into_inner) = log;
        }
        let _ = fs::remove_file(&path);
    }
}
