//! A resolver at work, and what it has found.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use qorb_driver::{Backend, DnsResolver, DnsResolverConfig, DnsSets, Need, Resolver, ResolverStats, Runtime};
use qorb_examples::Platform;
use smol::stream::Stream;

/// A resolver without a pool.
pub(crate) struct Search<P: Platform> {
    sets: DnsSets<P::Runtime>,
    set: Vec<Backend>,
    /// How many backends each set had that was published.
    pub(crate) sizes: Vec<usize>,
    runtime: P::Runtime,
}

/// One that asks as often as may be, and is not patient.
pub(crate) fn eager() -> DnsResolverConfig {
    DnsResolverConfig {
        query_interval: Duration::from_millis(200),
        query_timeout: Duration::from_millis(700),
        attempt_timeout: Duration::from_millis(100),
        ..DnsResolverConfig::default()
    }
}

impl<P: Platform> Search<P> {
    /// Starts to look for a service of the zone.
    pub(crate) fn new(servers: &[SocketAddr], service: &str, config: DnsResolverConfig) -> Self {
        let name = format!("{service}.test.com");
        let resolver = DnsResolver::new(&name, servers.iter().copied(), config).expect("it is a name");
        let runtime = P::Runtime::current().expect("the test runs in it");
        let sets = resolver.start(&runtime, Need::default());
        Self { sets, set: Vec::new(), sizes: Vec::new(), runtime }
    }

    /// Lets it work until it is so; how long that took.
    pub(crate) async fn until(
        &mut self,
        mut is_it: impl FnMut(&ResolverStats, &[String]) -> bool,
    ) -> Duration {
        let begin = self.runtime.now();
        poll_fn(|cx| {
            while let Poll::Ready(Some(set)) = Pin::new(&mut self.sets).poll_next(cx) {
                self.sizes.push(set.len());
                self.set = set;
            }
            if is_it(&self.sets.stats(), &self.set()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.runtime.now().since(begin)
    }

    /// Lets it work until its first round is over.
    pub(crate) async fn first_round(&mut self) -> Duration {
        self.until(|stats, _| stats.next_round_in.is_some()).await
    }

    /// The latest set: port and address of each, and its rank where it has one.
    pub(crate) fn set(&self) -> Vec<String> {
        let text = |backend: &Backend| match (backend.priority, backend.weight) {
            (0, 0) => backend.to_string(),
            (priority, weight) => format!("{backend} {priority} {weight}"),
        };
        self.set.iter().map(text).collect()
    }

    pub(crate) fn stats(&self) -> ResolverStats {
        self.sets.stats()
    }

    /// How its only server answered last.
    pub(crate) fn outcome(&self) -> String {
        let outcome = self.stats().servers.into_iter().next().and_then(|server| server.last_outcome);
        outcome.unwrap_or_default()
    }
}
