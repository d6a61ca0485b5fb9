//! The stats server: what pools are doing, over HTTP and websockets, for monitors, browsers and Prometheus.
//!
//! One implementation for all runtimes; an adapter only listens. Nothing of it keeps a pool alive, and a
//! pool that nobody watches costs nothing.
//!
//! - [`StatsServer`]: what users hold; `door`: who is let in, and how many; `end`: how all of them learn that
//!   it is over.
//! - `head`: what a client asks for, and whether it may; `answer`: what it is told; `route`: which of that
//!   for what.
//! - `pools`: the pools, and one snapshot of each for all who ask at the same moment; `feed`: a websocket.
//! - `frame`: a snapshot as JSON; `metrics`: as Prometheus reads it; `page`: for browsers.
//! - `stream`: bytes in and out, not for ever.

mod answer;
mod door;
mod end;
mod feed;
mod frame;
mod head;
mod metrics;
mod page;
mod pools;
mod route;
mod stream;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use futures_io::{AsyncRead, AsyncWrite};
use thiserror::Error;

use self::door::House;
use crate::connector::Connector;
use crate::error::NoRuntime;
use crate::pool::Pool;
use crate::runtime::Runtime;

/// A runtime on which a stats server can listen: sockets and the date, which pools have no use for.
pub trait Serve: Runtime {
    /// A socket that listens.
    type Listener: Send + 'static;
    /// A connection of a client.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Listens on `address`, and tells where that is: port 0 is any free one.
    fn bind(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<(Self::Listener, SocketAddr)>> + Send;

    /// The next client. The future may be dropped at any time without loss.
    fn accept(&self, listener: &mut Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// What the calendar says, for people.
    fn date(&self) -> SystemTime;
}

/// Why there is no stats server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No runtime runs here.
    #[error(transparent)]
    NoRuntime(#[from] NoRuntime),
    /// The address is taken, or is none of this machine's.
    #[error(
        "no stats are served: cannot listen on {address}; choose another address, or port 0 for any free one"
    )]
    Listen {
        /// Where it should have been.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A server that shows what pools are doing: `GET /` is a page for browsers, `/qtop/stats` a websocket for
/// monitors, `/metrics` is for Prometheus, and [`StatsServer::PATHS`] lists the rest.
///
/// It listens until it is dropped; then its clients get a close frame. It keeps no pool alive, and forgets
/// those that have ended. It has no secrets and asks for none: bind it to loopback, where other people's web
/// pages cannot read it either.
pub struct StatsServer<R: Serve> {
    address: SocketAddr,
    house: Arc<House<R>>,
}

impl<R: Serve> StatsServer<R> {
    /// What there is to get.
    pub const PATHS: [&str; 6] = ["/", "/qtop/stats", "/qtop/pools", "/qtop/explain", "/metrics", "/healthz"];

    /// Listens on `address`, in the runtime in which the caller runs.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on, or no runtime is running here.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        Self::bind_in(R::current()?, address).await
    }

    /// Listens on `address` in `runtime`.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn bind_in(runtime: R, address: SocketAddr) -> Result<Self, ServeError> {
        let bound = runtime.bind(address).await;
        let (listener, local) = bound.map_err(|source| ServeError::Listen { address, source })?;
        let house = Arc::new(House::new(runtime));
        house.runtime.spawn(door::receive(Arc::clone(&house), listener));
        Ok(Self { address: local, house })
    }

    /// Shows `pool`, of whatever connector and runtime, until it ends. A second one of the same name is shown
    /// as `name-2`.
    pub fn add<K: Connector, P: Runtime>(&self, pool: &Pool<K, P>) {
        self.house.pools.add(pool);
    }

    /// Lets clients in that call the server by this name, as behind a proxy. Others are let in when they
    /// call it `localhost` or by an address: a name that somebody else's DNS answers for is not to be trusted.
    pub fn allow_host(&self, name: &str) {
        self.house.hosts.lock().insert(name.to_ascii_lowercase());
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl<R: Serve> Drop for StatsServer<R> {
    fn drop(&mut self) {
        self.house.end.announce();
    }
}

impl<R: Serve> fmt::Debug for StatsServer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatsServer").field("address", &self.address).finish_non_exhaustive()
    }
}
