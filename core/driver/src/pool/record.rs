//! What happened to a pool, as a log that replays.

use std::fs;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use qorb_core::Machine;
use qorb_core::pool::{Beginning, PoolMachine};
use qorb_core::record::Recorder;

use super::Pool;
use crate::connector::Connector;
use crate::runtime::Runtime;

impl<K: Connector, R: Runtime> Pool<K, R> {
    /// Remembers up to `events` of the latest events from now on, and forgets those before; with 0, which is
    /// how a pool begins, it remembers none.
    ///
    /// A pool that remembers does its work twice, a second time for the state before those events, and no
    /// claim takes the short way. Should a fault of ours end in a panic, it remembers nothing more, so that what
    /// led to the fault can still be written.
    pub fn record(&self, events: usize) {
        self.owner.shared.lock().machine.record(events);
    }

    /// Writes what is remembered to a log at `path`, over what is there. `sim replay`, in the package
    /// `qorb-tests`, lets it happen again.
    ///
    /// It holds up claims for one copy of the events, and the calling thread for a write. The log has the names
    /// and addresses of backends in it, and nothing of what was sent to them.
    ///
    /// # Errors
    ///
    /// Nothing is remembered, for [`Pool::record`] was not called; or the file cannot be written.
    pub fn record_to(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let ring = self.owner.shared.lock().machine.recorded();
        let nothing =
            || io::Error::new(ErrorKind::NotFound, "nothing is remembered: call `Pool::record` first");
        let (machine, events) = ring.ok_or_else(nothing)?.into_parts();
        let beginning = Beginning::State(Box::new(machine));
        let mut recorder = Recorder::<PoolMachine>::new(beginning).map_err(io::Error::other)?;
        let mut out = Vec::new();
        // The last event may be the one that the machine does not survive; it is in the log by then.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            for (now, event) in events {
                recorder.handle(now, event, &mut out);
                out.clear();
            }
        }));
        fs::write(path, recorder.log())
    }
}
