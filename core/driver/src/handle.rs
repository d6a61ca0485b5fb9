//! A connection in its claimer's hands.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use qorb_core::Backend;
use qorb_core::pool::{Return, SlotId};

use crate::connector::Connector;
use crate::effects::Place;
use crate::link::{Held, Link, contain};
use crate::runtime::Runtime;

/// A claimed connection. Dropping it returns the connection to the pool; it may be dropped anywhere,
/// outside any runtime too.
///
/// It stays usable when its backend leaves the resolver's set and when the pool ends; the connection
/// is then closed instead of returned.
#[must_use = "dropping a handle returns its connection"]
pub struct Handle<K: Connector, R: Runtime> {
    /// Gone only while the handle is dropped.
    link: Option<Link<K>>,
    runtime: PhantomData<fn() -> R>,
}

impl<K: Connector, R: Runtime> Handle<K, R> {
    pub(crate) fn new(link: Link<K>) -> Self {
        Self { link: Some(link), runtime: PhantomData }
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

    pub(crate) fn slot(&self) -> SlotId {
        self.held().slot
    }

    /// Gives up a connection that is broken: it is closed, and counts as a failure of its backend.
    pub fn discard(mut self) {
        self.give_back(Return::Broken);
    }

    /// Takes the connection out of the pool, which opens another one in its place.
    #[must_use = "the connection is no longer the pool's"]
    pub fn detach(mut self) -> K::Connection {
        let link = self.link.take().expect(WHOLE);
        let Held { connection, slot, home, .. } = *link.held;
        home.give_back(slot, Place::Elsewhere, Return::Detached);
        connection
    }

    fn held(&self) -> &Held<K> {
        &self.link.as_ref().expect(WHOLE).held
    }

    fn give_back(&mut self, what: Return) {
        if let Some(link) = self.link.take() {
            let (slot, home) = (link.held.slot, Arc::clone(&link.held.home));
            home.give_back(slot, Place::Resting(link), what);
        }
    }
}

const WHOLE: &str = "a handle has its connection until it is dropped";

impl<K: Connector, R: Runtime> Drop for Handle<K, R> {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            let home = Arc::clone(&link.held.home);
            contain(|| home.recycle(link));
        }
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
            .field("pool", &self.held().home.name())
            .field("slot_id", &self.slot_id())
            .field("backend", &format_args!("{}", self.backend()))
            .finish_non_exhaustive()
    }
}
