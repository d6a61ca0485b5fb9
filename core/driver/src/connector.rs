//! What a user of a pool brings along: how to connect, and how to tell a good connection.

use std::fmt;
use std::future::Future;

use qorb_core::Backend;

/// Makes connections, and looks after them between uses.
///
/// All of it runs outside the pool's lock. Every method is bounded by a time-out of the policy, after
/// which its future is dropped and its connection closed, and a panic in any of them is contained:
/// it counts as a failure of that one connection.
pub trait Connector: Send + Sync + 'static {
    /// What the pool hands out.
    type Connection: Send + 'static;
    /// How connecting and checking fail.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Connects to `backend`.
    fn connect(
        &self,
        backend: &Backend,
    ) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Tells whether an idle connection still works. It is called about every
    /// `set_config.health_interval`.
    fn is_valid(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Prepares a connection for its claimer, in the claimer's task. If it fails, the claim gets
    /// another connection.
    fn on_acquire(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Cleans a connection up after its claimer, and tells whether it can be handed out again. It is
    /// called and polled once where the handle is dropped: in the task that drops it or, outside tasks, in
    /// the pool's runtime. If it is not ready by then it moves to a task; a future that holds nothing, not even what
    /// it was called with, cannot: the method is called again.
    fn on_recycle(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.is_valid(connection)
    }
}

/// A connector that does nothing but connect, by calling `connect`.
///
/// ```
/// # use qorb_driver::{connector_fn, Backend};
/// let connector = connector_fn(async |backend: Backend| -> std::io::Result<_> { Ok(backend.address) });
/// # let _ = connector;
/// ```
pub fn connector_fn<F, Fut, C, E>(connect: F) -> ConnectorFn<F>
where
    F: Fn(Backend) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C, E>> + Send,
    C: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    ConnectorFn { connect }
}

/// A closure that connects; see [`connector_fn`].
#[derive(Clone, Copy)]
pub struct ConnectorFn<F> {
    connect: F,
}

impl<F, Fut, C, E> Connector for ConnectorFn<F>
where
    F: Fn(Backend) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C, E>> + Send,
    C: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    type Connection = C;
    type Error = E;

    async fn connect(&self, backend: &Backend) -> Result<C, E> {
        (self.connect)(backend.clone()).await
    }
}

impl<F> fmt::Debug for ConnectorFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorFn").finish_non_exhaustive()
    }
}
