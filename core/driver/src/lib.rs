//! The runtime-neutral shell of qorb.
//!
//! The machine in `qorb-core` decides everything; this crate carries it out, once for all runtimes:
//!
//! - [`pool`](Pool): the pool as users hold it; [`claim`](Claim): its futures; [`handle`](Handle): what
//!   they lead to.
//! - `shared`: the one lock; `state`: what is under it, `told` the machine in it; `turn`: a connection goes out
//!   and comes back; `seats`: where claims wait; `grants`: what is laid there for them; `effects`: what is
//!   done after the lock; `observe`: what is told of it.
//! - `operation`: connects, checks and recycles as tasks; `link`: a connection and its bench;
//!   `alarm`: the one timer.
//! - [`connector`](Connector), [`resolver`](Resolver), [`runtime`](Runtime): what others bring along;
//!   `dns`: a resolver.
//! - `probes`, [`stats`](Stats), [`histogram`](Histogram), [`explain`](Explanation),
//!   `report`, `onlookers`, `serve`: for those who look
//!   on.

mod alarm;
mod claim;
mod connector;
mod dns;
mod effects;
mod error;
mod explain;
mod grants;
mod handle;
mod histogram;
mod label;
mod link;
mod observe;
mod onlookers;
mod operation;
mod pool;
mod probes;
mod report;
mod resolver;
mod runtime;
mod seats;
#[cfg(feature = "qtop")]
mod serve;
mod shared;
mod state;
mod stats;
mod told;
mod turn;

pub use claim::Claim;
pub use connector::{Connector, ConnectorFn, connector_fn};
pub use dns::{DnsResolver, DnsSets, NamedBackend, ResolverStats, ServerStats};
pub use error::{
    ClaimError, NoRuntime, Panicked, PoolError, ProbeError, SharedError, SystemError, TimedOut,
    WaitReadyError,
};
pub use explain::{BackendExplanation, Explanation, QueueExplanation};
pub use handle::Handle;
pub use histogram::Histogram;
pub use label::Labelled;
pub use pool::Pool;
pub use qorb_core::dns::{Config as DnsResolverConfig, ConfigError};
pub use qorb_core::pool::{Denial, Policy, PolicyError, SetConfig, Standing};
pub use qorb_core::{Backend, Timestamp};
pub use resolver::{FixedResolver, Need, Once, Resolver, SingleHost, StreamResolver, from_stream};
pub use runtime::{Runtime, TcpStream, UdpSocket};
#[cfg(feature = "qtop")]
pub use serve::{Serve, ServeError, StatsServer};
pub use stats::{BackendStats, HandleStats, Stats};

/// What users rely on without ever writing it down: checked for every connector and every runtime.
#[allow(dead_code, reason = "it is compiled, never called")]
fn assertions<K: Connector, R: Runtime>() {
    fn shared_by_threads<T: Clone + Send + Sync>() {}
    fn sent<T: Send>() {}
    shared_by_threads::<Pool<K, R>>();
    sent::<Claim<'_, K, R>>();
    sent::<Labelled<'_, K, R>>();
    sent::<Handle<K, R>>();
}
