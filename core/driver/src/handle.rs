//! A connection in its claimer's hands.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::{Context, Waker};

use qorb_core::Backend;
use qorb_core::pool::Return;

use crate::connector::Connector;
use crate::effects::Place;
use crate::link::{Chore, Held, Link, Progress, contain};
use crate::runtime::Runtime;
use crate::shared::Shared;

/// A claimed connection. Dropping it returns the connection to the pool; it may be dropped anywhere,
/// outside any runtime too.
///
/// It stays usable when its backend leaves the resolver's set and when the pool ends; the connection
/// is then closed instead of returned.
#[must_use = "dropping a handle returns its connection"]
pub struct Handle<K: Connector, R: Runtime> {
    shared: Arc<Shared<K, R>>,
    /// Gone only while the handle is dropped.
    link: Option<Link<K>>,
}

impl<K: Connector, R: Runtime> Handle<K, R> {
    pub(crate) fn new(shared: Arc<Shared<K, R>>, link: Link<K>) -> Self {
        Self { shared, link: Some(link) }
    }

    /// The backend at the other end.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.held().record.backend
    }

    /// The number of its slot, as logs and probes show it. No other slot of this pool ever has it.
    #[must_use]
    pub fn slot_id(&self) -> u64 {
        self.held().serial
    }

    /// Gives up a connection that is broken: it is closed, and counts as a failure of its backend.
    pub fn discard(mut self) {
        self.give_back(Return::Broken);
    }

    /// Takes the connection out of the pool, which opens another one in its place.
    #[must_use = "the connection is no longer the pool's"]
    pub fn detach(mut self) -> K::Connection {
        let link = self.link.take().expect(WHOLE);
        let Held { connection, slot, .. } = *link.held;
        self.shared.give_back(slot, Place::Elsewhere, Return::Detached);
        connection
    }

    fn held(&self) -> &Held<K> {
        &self.link.as_ref().expect(WHOLE).held
    }

    fn give_back(&mut self, what: Return) {
        if let Some(link) = self.link.take() {
            self.shared.give_back(link.held.slot, Place::Resting(link), what);
        }
    }

    /// Begins to recycle the connection, before anybody takes a lock, and gives it back with what came
    /// of that.
    fn recycle(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        let slot = link.held.slot;
        if !link.held.record.is_wanted() {
            self.shared.give_back(slot, Place::Resting(link), Return::Abandoned);
            return;
        }
        let progress = self.shared.runtime.enter(|| {
            let cx = &mut Context::from_waker(Waker::noop());
            match link.at_once(Chore::Recycle, cx) {
                Some(outcome) => Progress::Done(link, outcome),
                None => link.start(Chore::Recycle).poll(cx),
            }
        });
        match progress {
            Progress::Done(link, Ok(())) => self.shared.take_back(link),
            Progress::Pending(errand) => {
                self.shared.give_back(slot, Place::Suspended(errand), Return::Recycling);
            }
            Progress::Done(link, Err(trouble)) => {
                self.shared.give_back_broken(slot, Some(link), trouble.share());
            }
            Progress::Lost(panic) => self.shared.give_back_broken(slot, None, Arc::new(panic)),
        }
    }
}

const WHOLE: &str = "a handle has its connection until it is dropped";

impl<K: Connector, R: Runtime> Drop for Handle<K, R> {
    fn drop(&mut self) {
        contain(|| self.recycle());
    }
}

impl<K: Connector, R: Runtime> Deref for Handle<K, R> {
    type Target = K::Connection;

    fn deref(&self) -> &K::Connection {
        &self.held().connection
    }
}

impl<K: Connector, R: Runtime> DerefMut for Handle<K, R> {
    fn deref_mut(&mut self) -> &mut K::Connection {
        &mut self.link.as_mut().expect(WHOLE).held.connection
    }
}

impl<K: Connector, R: Runtime> fmt::Debug for Handle<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("pool", &self.shared.name)
            .field("slot_id", &self.slot_id())
            .field("backend", &format_args!("{}", self.backend()))
            .finish_non_exhaustive()
    }
}
