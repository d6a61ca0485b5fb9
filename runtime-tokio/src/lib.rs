//! qorb on tokio: a connection pool that finds its backends by name, keeps live connections spread over
//! all of them, and hands them out.
//!
//! ```no_run
//! use qorb_tokio::{DnsResolver, DnsResolverConfig, Policy, Pool, TcpConnector};
//! use tokio::io::AsyncWriteExt;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = ["[::1]:1234".parse()?];
//! let resolver = DnsResolver::new("_echo._tcp.test.com.", servers, DnsResolverConfig::default())?;
//! let pool = Pool::new("my-pool", resolver, TcpConnector::default(), Policy::default())?;
//! let mut stream = pool.claim().await?; // a Handle: derefs to tokio's own TcpStream
//! stream.write_all(b"hello").await?;
//! # Ok(())
//! # }
//! ```
//!
//! - `runtime`: [`TokioRuntime`], all that the pool asks of tokio. It needs a runtime with timers and
//!   I/O (`enable_all`, as `#[tokio::main]` has it), of any flavour.
//! - `connector`: [`TcpConnector`], plain TCP over [`tokio::net::TcpStream`].
//! - `listener`: where a `StatsServer` listens, with the feature `qtop`.
//!
//! Everything else is the same on every runtime and comes from `qorb-driver`.

mod connector;
#[cfg(feature = "qtop")]
mod listener;
mod runtime;

pub use connector::TcpConnector;
#[cfg(feature = "qtop")]
pub use qorb_driver::ServeError;
pub use qorb_driver::{
    Backend, BackendExplanation, BackendStats, ClaimError, ConfigError, Connector, ConnectorFn, Denial,
    DnsResolver, DnsResolverConfig, Explanation, FixedResolver, HandleStats, Histogram, NamedBackend, Need,
    NoRuntime, Once, Panicked, Policy, PolicyError, PoolError, ProbeError, QueueExplanation, Resolver,
    ResolverStats, ServerStats, SetConfig, SharedError, SingleHost, Standing, Stats, StreamResolver,
    SystemError, TimedOut, WaitReadyError, connector_fn, from_stream,
};
pub use runtime::TokioRuntime;

/// A pool of connections to the backends of one service, on tokio.
pub type Pool<K = TcpConnector> = qorb_driver::Pool<K, TokioRuntime>;
/// A claimed connection of a [`Pool`].
pub type Handle<K = TcpConnector> = qorb_driver::Handle<K, TokioRuntime>;
/// The future of a claim on a [`Pool`].
pub type Claim<'a, K = TcpConnector> = qorb_driver::Claim<'a, K, TokioRuntime>;
/// The future of a [`Claim`] with a label.
pub type Labelled<'a, K = TcpConnector> = qorb_driver::Labelled<'a, K, TokioRuntime>;
/// The sets that a [`DnsResolver`] finds.
pub type DnsSets = qorb_driver::DnsSets<TokioRuntime>;
/// A server that shows what pools are doing, on tokio.
#[cfg(feature = "qtop")]
pub type StatsServer = qorb_driver::StatsServer<TokioRuntime>;
