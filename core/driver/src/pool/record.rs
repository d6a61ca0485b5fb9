//! What happened to a pool, as a log that replays.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Pool;
use crate::connector::Connector;
use crate::runtime::Runtime;
use crate::told::Recording;

impl<K: Connector, R: Runtime> Pool<K, R> {
    /// Remembers up to `events` of the latest events from now on, and forgets those before; with 0, which is
    /// how a pool begins, it remembers none.
    ///
    /// A pool that remembers does its work twice, a second time for the state before those events, and no
    /// claim takes the short way. Should a fault of ours end in a panic, it remembers nothing more, so that what
    /// led to the fault can still be written.
    pub fn record(&self, events: usize) {
        self.owner.shared.lock().machine.record(events, None);
    }

    /// Does as [`Pool::record`], and should a fault of ours come to light meanwhile, writes what led to it to a
    /// log at `path`, over what is there: the first time that something panics under the pool's lock, or that a
    /// recount of the machine, made now and then, does not come out.
    ///
    /// The log is written at once, while everybody waits: the pool is not to be trusted any more.
    pub fn record_faults_to(&self, events: usize, path: impl Into<PathBuf>) {
        self.owner.shared.lock().machine.record(events, Some(path.into()));
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
        let snapshot = self.owner.shared.lock().machine.recording().map(Recording::snapshot);
        let nothing =
            || io::Error::new(ErrorKind::NotFound, "nothing is remembered: call `Pool::record` first");
        fs::write(path, snapshot.ok_or_else(nothing)?.log()?)
    }

    /// Tells what is remembered as a log, after the end of the pool too: for tests that look at all of it. It keeps
    /// no pool alive.
    #[doc(hidden)]
    pub fn log_probe(&self) -> impl Fn() -> Option<String> + Send + use<K, R> {
        let shared = Arc::clone(&self.owner.shared);
        move || shared.lock().machine.recording().map(Recording::snapshot)?.log().ok()
    }
}
