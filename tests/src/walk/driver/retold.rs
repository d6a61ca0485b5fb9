//! All that a walk's pool tells its machine, from the pool's beginning to the end of its last connection.

use qorb_core::Timestamp;
use qorb_core::dice::Dice;
use qorb_core::pool::{Beginning, PoolMachine};
use qorb_core::record::{Recorder, Replayed};
use qorb_driver::Policy;

use super::{Driven, STEPS, Span, Walk, violation};
use crate::panics::contained;
use crate::walk::Violation;
use crate::walk::again::{Seen, again};
use crate::walk::shorten::{cut, shortest};

/// More events than any walk has.
const ALL: usize = 1 << 20;

/// Walks through the driver's world of this seed with a pool that remembers all that happens to it, which takes no
/// short ways; then all of that happens to a machine once more, before a shadow, which knows the whole contract.
///
/// # Errors
///
/// Says what did not hold in the shortest such walk, or in what its machine was told, with the log of that.
pub fn retell(seed: u64) -> Result<Replayed, Box<Violation>> {
    retold(Span { seed, steps: STEPS }).map_err(|(rule, _)| {
        let wrong = |steps| retold(Span { seed, steps }).err();
        let (steps, rule) = shortest(STEPS, rule, |steps| wrong(steps).map(|(rule, _)| rule));
        let (rule, log) = wrong(steps).unwrap_or_else(|| (rule, nothing()));
        let (log, rule) = cut(log, rule);
        violation(Span { seed, steps }, rule, log)
    })
}

/// Walks with a pool that remembers, and looks at what it remembers; where something does not hold, gives the log too.
pub(super) fn retold(span: Span) -> Result<Replayed, (String, String)> {
    let (walked, log) = told(span);
    let rule = match (walked, again(&log)) {
        (Err(rule), _) => rule,
        (_, Ok(Seen::Well { replayed, shadowed: true, ended: true, .. })) => return Ok(replayed),
        (_, Ok(Seen::Well { .. })) => {
            "embedder: its log does not reach from its beginning to its end".to_owned()
        }
        (_, Ok(Seen::Violation { rule, .. })) => rule,
        (_, Err(error)) => error.to_string(),
    };
    Err((rule, log))
}

/// Walks with a pool that remembers, and gives what came of that and the log: it is that of a pool to which nothing
/// happened where none began.
pub(super) fn told(span: Span) -> (Result<Driven, String>, String) {
    let mut log = None;
    let walked = contained(|| {
        let walk = Walk::new(span);
        walk.pool().record(ALL);
        log = Some(walk.pool().log_probe());
        walk.run()
    });
    (walked, log.and_then(|log| log()).unwrap_or_else(nothing))
}

fn nothing() -> String {
    let beginning = Beginning::New { policy: Policy::default(), dice: Dice::Fixed, at: Timestamp::EPOCH };
    Recorder::<PoolMachine>::new(beginning).expect("the default is valid").log()
}
