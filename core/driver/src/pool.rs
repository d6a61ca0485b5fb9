//! The pool, as its users hold it.

#[cfg(feature = "record")]
mod record;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qorb_core::dice::Dice;
use qorb_core::pool::{Policy, PoolMachine};

use crate::alarm;
use crate::claim::{Claim, Patience};
use crate::connector::Connector;
use crate::error::{PoolError, ProbeError, WaitReadyError};
use crate::explain::Explanation;
use crate::onlookers::{Wish, watch};
use crate::probes;
use crate::resolver::{Resolver, listen};
use crate::runtime::{Runtime, within};
use crate::shared::Shared;
use crate::stats::{HandleStats, Stats};

/// A pool of connections to the backends of one service.
///
/// Cheap to clone; all clones are the same pool. When the last one is dropped the pool ends in the
/// background: idle connections are closed, and those still claimed when their handles are dropped.
pub struct Pool<K: Connector, R: Runtime> {
    owner: Arc<Owner<K, R>>,
}

/// What the clones share, and nobody else: its end is the pool's.
struct Owner<K: Connector, R: Runtime> {
    shared: Arc<Shared<K, R>>,
    probes: Result<(), ProbeError>,
}

impl<K: Connector, R: Runtime> Pool<K, R> {
    /// Makes a pool and starts to fill it, in the runtime in which the caller runs. It returns at once.
    ///
    /// # Errors
    ///
    /// The policy cannot work, or no runtime is running here.
    pub fn new(
        name: impl Into<Arc<str>>,
        resolver: impl Resolver<R>,
        connector: K,
        policy: Policy,
    ) -> Result<Self, PoolError> {
        Self::new_in(R::current()?, name, resolver, connector, policy)
    }

    /// Makes a pool in `runtime`.
    ///
    /// # Errors
    ///
    /// The policy cannot work.
    pub fn new_in(
        runtime: R,
        name: impl Into<Arc<str>>,
        resolver: impl Resolver<R>,
        connector: K,
        policy: Policy,
    ) -> Result<Self, PoolError> {
        let [a, b, c, d, e, f, g, h, ..] = runtime.entropy();
        let dice = Dice::Seeded(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        let machine = PoolMachine::new(policy, &dice, runtime.now())?;
        let probes = probes::register();
        #[cfg(feature = "tracing")]
        if let Err(error) = &probes {
            tracing::warn!("{error}");
        }
        let shared = Arc::new(Shared::new(name.into(), machine, connector, runtime));
        alarm::start(&shared);
        listen(&shared, resolver);
        Ok(Self { owner: Arc::new(Owner { shared, probes }) })
    }

    /// Claims a connection, waiting for one for as long as the policy's `claim_timeout`, from the first
    /// poll on.
    ///
    /// Claims are served in the order in which they come. Dropping the future is always safe: the claim
    /// is given up, and what it was granted already goes to the next one.
    ///
    /// # Errors
    ///
    /// No connection was to be had in time, or the pool has ended: see
    /// [`ClaimError::kind`](crate::ClaimError::kind).
    pub fn claim(&self) -> Claim<'_, K, R> {
        Claim::new(&self.owner.shared, Patience::Policy)
    }

    /// Claims a connection that is ready now. It never waits for one, and never overtakes a claim that
    /// does; only a pending `on_acquire` is waited for, up to its time-out.
    ///
    /// # Errors
    ///
    /// As [`Pool::claim`].
    pub fn try_claim(&self) -> Claim<'_, K, R> {
        Claim::new(&self.owner.shared, Patience::None)
    }

    /// Claims a connection, waiting for at most `patience`, whatever the policy says.
    ///
    /// # Errors
    ///
    /// As [`Pool::claim`].
    pub fn claim_within(&self, patience: Duration) -> Claim<'_, K, R> {
        Claim::new(&self.owner.shared, Patience::Within(patience))
    }

    /// Claims a connection, waiting until `deadline`, whatever the policy says.
    ///
    /// # Errors
    ///
    /// As [`Pool::claim`].
    pub fn claim_by(&self, deadline: Instant) -> Claim<'_, K, R> {
        Claim::new(&self.owner.shared, Patience::Until(deadline))
    }

    /// Waits until `count` connections are open, claimed or not: for a warm start. A slot that is kept for
    /// a backend that is down counts as open.
    ///
    /// # Errors
    ///
    /// The policy never opens that many unasked, or the pool has ended. It has no time-out of its own.
    pub async fn wait_ready(&self, count: usize) -> Result<(), WaitReadyError> {
        {
            let state = self.owner.shared.lock();
            let policy = state.machine.policy();
            let most = policy.spares_wanted.min(policy.max_slots);
            if count > most {
                return Err(WaitReadyError::TooMany { wanted: count, most });
            }
        }
        self.watch(Wish::Connected(count)).await;
        let ended = self.owner.shared.lock().ending;
        if ended { Err(WaitReadyError::Terminated) } else { Ok(()) }
    }

    /// Ends the pool, at once and for all its clones.
    ///
    /// Everybody who waits is denied, no method of the connector is called any more, and when this
    /// returns all idle connections are closed. Handles that are out stay usable; their connections
    /// close when they are dropped. A second call waits for the same end. The pool ends as soon as the
    /// future is polled first, even if it is dropped then.
    pub async fn terminate(&self) {
        self.owner.shared.shut_down();
        self.watch(Wish::Stopped).await;
    }

    /// Ends the pool as [`Pool::terminate`] does, and waits for at most `patience` until the handles
    /// that are out have been dropped. Returns those that have not.
    pub async fn drain(&self, patience: Duration) -> Vec<HandleStats> {
        self.terminate().await;
        let runtime = &self.owner.shared.runtime;
        // Those who took longer are what is asked for.
        let _ = within(runtime, patience, self.watch(Wish::Empty)).await;
        self.stats().handles
    }

    /// A snapshot of what the pool is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.owner.shared.stats()
    }

    /// Why the pool has the slots it has, backend by backend, and why claims wait: printed, several lines.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        self.owner.shared.explain()
    }

    /// What others watch it by, which does not keep it alive.
    #[cfg(feature = "qtop")]
    pub(crate) fn watched(&self) -> std::sync::Weak<Shared<K, R>> {
        Arc::downgrade(&self.owner.shared)
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.owner.shared.name
    }

    /// Whether the USDT probes were registered with the system's tracer.
    ///
    /// # Errors
    ///
    /// They were not; the pool works without.
    pub fn probes(&self) -> Result<(), ProbeError> {
        self.owner.probes.clone()
    }

    /// Tells whether somebody holds the pool's lock at that moment: for tests that prove that no code
    /// of the user's runs under it. It keeps no pool alive.
    #[doc(hidden)]
    pub fn lock_probe(&self) -> impl Fn() -> bool + Send + use<K, R> {
        let shared = Arc::downgrade(&self.owner.shared);
        move || shared.upgrade().is_some_and(|shared| shared.is_locked())
    }

    /// Recounts what the machine remembers of its own state (C13): for tests, and as slow as the pool is large.
    ///
    /// # Errors
    ///
    /// Says what is wrong, beginning with the rule's number.
    #[doc(hidden)]
    pub fn audit(&self) -> Result<(), String> {
        self.owner.shared.lock().machine.audit()
    }

    /// Waits until a wish is granted.
    async fn watch(&self, wish: Wish) {
        watch(Arc::downgrade(&self.owner.shared), wish).await;
    }
}

impl<K: Connector, R: Runtime> Drop for Owner<K, R> {
    fn drop(&mut self) {
        self.shared.shut_down();
    }
}

impl<K: Connector, R: Runtime> Clone for Pool<K, R> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<K: Connector, R: Runtime> fmt::Debug for Pool<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.name()).finish_non_exhaustive()
    }
}
