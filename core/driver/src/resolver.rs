//! Where the backends come from: a stream of full sets.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use parking_lot::Mutex;
use qorb_core::{Backend, Timestamp};

use crate::connector::Connector;
use crate::dns::ResolverStats;
use crate::effects::Cancel;
use crate::runtime::Runtime;
use crate::shared::Shared;

/// Finds the backends of a service.
pub trait Resolver<R: Runtime>: Send + 'static {
    /// The full set of backends, again whenever it changes; empty sets are legal. A stream may end: its
    /// last set stays.
    type Sets: Stream<Item = Vec<Backend>> + Send + 'static;

    /// Begins to resolve. A pool calls it once; the stream is dropped when the pool ends. `need` tells of
    /// times at which an answer is needed sooner than usual.
    fn start(self, runtime: &R, need: Need) -> Self::Sets;

    /// What there is to see of it, if anything. A pool looks whenever the stream was polled, and shows it in
    /// [`Stats::resolver`](crate::Stats::resolver).
    fn look(_sets: &Self::Sets) -> Option<ResolverStats> {
        None
    }
}

/// Tells a resolver that every backend it has named is down, so that it may look again at once.
///
/// The default is one that nobody ever has: for a resolver without a pool.
#[derive(Clone, Debug, Default)]
pub struct Need(Arc<Cancel>);

impl Need {
    /// Ready once for each time at which nothing works, or for several that come together.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.poll_again(cx)
    }
}

/// A resolver whose backends never change. Each goes by its address as its name, and is in the set once
/// however often it was listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FixedResolver {
    set: Vec<Backend>,
}

impl FixedResolver {
    /// A resolver that knows these addresses.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let backends = addresses.into_iter().map(|address| Backend::new(address.to_string(), address));
        Self::of(backends)
    }

    /// A resolver that knows these backends.
    pub fn of(backends: impl IntoIterator<Item = Backend>) -> Self {
        let mut set: Vec<_> = backends.into_iter().collect();
        set.sort();
        set.dedup_by(|later, earlier| later.identity() == earlier.identity());
        Self { set }
    }
}

impl<R: Runtime> Resolver<R> for FixedResolver {
    type Sets = Once;

    fn start(self, _runtime: &R, _need: Need) -> Once {
        Once { set: Some(self.set) }
    }
}

/// A resolver of one host, by the system's own resolver, asked once, when it is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SingleHost {
    backend: Backend,
}

impl SingleHost {
    /// Looks up `host`, such as `localhost:5432` or `[::1]:5432`, and uses its first address. This
    /// blocks until the system's resolver has answered.
    ///
    /// # Errors
    ///
    /// The host is unknown, or has no address.
    pub fn new(host: &str) -> io::Result<Self> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
        let address = host.to_socket_addrs()?.next().ok_or_else(unknown)?;
        Ok(Self { backend: Backend::new(host, address) })
    }
}

impl<R: Runtime> Resolver<R> for SingleHost {
    type Sets = Once;

    fn start(self, _runtime: &R, _need: Need) -> Once {
        Once { set: Some(vec![self.backend]) }
    }
}

/// A stream of one set.
#[derive(Debug)]
pub struct Once {
    set: Option<Vec<Backend>>,
}

impl Stream for Once {
    type Item = Vec<Backend>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Vec<Backend>>> {
        Poll::Ready(self.set.take())
    }
}

/// A resolver made of any stream of full sets.
pub fn from_stream<S>(sets: S) -> StreamResolver<S>
where
    S: Stream<Item = Vec<Backend>> + Send + 'static,
{
    StreamResolver { sets }
}

/// A user's stream as a resolver; see [`from_stream`].
pub struct StreamResolver<S> {
    sets: S,
}

impl<R: Runtime, S> Resolver<R> for StreamResolver<S>
where
    S: Stream<Item = Vec<Backend>> + Send + 'static,
{
    type Sets = S;

    fn start(self, _runtime: &R, _need: Need) -> S {
        self.sets
    }
}

impl<S> fmt::Debug for StreamResolver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamResolver").finish_non_exhaustive()
    }
}

/// Runs the task that publishes the resolver's sets into the pool. It keeps no pool alive.
pub(crate) fn listen<K, R, S>(shared: &Arc<Shared<K, R>>, resolver: S)
where
    K: Connector,
    R: Runtime,
    S: Resolver<R>,
{
    let runtime = shared.runtime.clone();
    let pool = Arc::downgrade(shared);
    let end = Arc::clone(&shared.listening);
    let need = Need(Arc::clone(&shared.needing));
    let sight = Arc::clone(&shared.resolving);
    let scope = Scope::new(&shared.name);
    shared.runtime.spawn(async move {
        let start = || scope.run(|| resolver.start(&runtime, need));
        let Ok(sets) = catch_unwind(AssertUnwindSafe(start)) else { return };
        let mut sets = pin!(sets);
        loop {
            let next = poll_fn(|cx| match end.poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                // A resolver that panics has said its last.
                Poll::Pending => catch_unwind(AssertUnwindSafe(|| {
                    let next = scope.run(|| sets.as_mut().poll_next(cx));
                    sight.update(S::look(sets.as_ref().get_ref()), runtime.now());
                    next
                }))
                .unwrap_or(Poll::Ready(None)),
            });
            let Some(set) = next.await else { return };
            let Some(pool) = pool.upgrade() else { return };
            pool.publish(set);
        }
    });
}

/// What was last seen of the resolver, and when: beside the pool's lock, which it has no use for.
#[derive(Debug, Default)]
pub(crate) struct Sight(Mutex<Option<(ResolverStats, Timestamp)>>);

impl Sight {
    fn update(&self, stats: Option<ResolverStats>, now: Timestamp) {
        *self.0.lock() = stats.map(|stats| (stats, now));
    }

    /// The same, as it is now.
    pub(crate) fn stats(&self, now: Timestamp) -> Option<ResolverStats> {
        let seen = self.0.lock().clone();
        seen.map(|(stats, at)| stats.later(now.since(at)))
    }
}

/// What log events of a resolver are told in, so that they have the pool's name.
struct Scope {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl Scope {
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "nobody reads it"))]
    fn new(pool: &str) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::warn_span!("resolver", pool),
        }
    }

    fn run<T>(&self, call: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        return self.span.in_scope(call);
        #[cfg(not(feature = "tracing"))]
        return call();
    }
}
