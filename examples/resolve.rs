//! Looks a service up, as a pool would, and prints its backends.
#![allow(clippy::print_stderr, reason = "it is a program")]

use std::collections::BTreeMap;
use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use qorb_driver::{
    Backend, DnsResolver, DnsResolverConfig, DnsSets, Need, Resolver, ResolverStats, Runtime, ServerStats,
    SystemError, Timestamp,
};
use qorb_examples::options::{self, RuntimeName, say};
use qorb_examples::{OnSmol, OnTokio, Platform};
use serde::Serialize;
use smol::stream::Stream;

/// Looks a service up, as a pool would, and prints its backends: priority, weight, for how long that is good,
/// and which server says so
///
/// It waits until every server has answered or failed, which takes a silent one some seconds; --watch prints at
/// once what is known. The exit code is 0 only if there are any backends.
#[derive(Debug, Parser)]
#[command(name = "resolve")]
struct Arguments {
    /// What to look for, such as _echo._tcp.test.com
    service: String,
    /// A DNS server to ask (repeatable); without, those of /etc/resolv.conf
    #[arg(long, value_name = "ADDR")]
    server: Vec<SocketAddr>,
    /// Go on, and print what changes
    #[arg(long)]
    watch: bool,
    /// Print JSON: one object, or with --watch one for every change
    #[arg(long)]
    json: bool,
    /// How often to ask at least: 10s, 500ms; sooner where records expire before that
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = options::positive)]
    every: Duration,
    /// The async runtime to run on
    #[arg(long, value_enum, default_value_t = RuntimeName::Tokio)]
    runtime: RuntimeName,
}

/// What is known at a moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Answer {
    /// Milliseconds since the start.
    at_ms: u128,
    service: String,
    backends: Vec<Found>,
    servers: Vec<Asked>,
}

/// A backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Found {
    name: String,
    address: SocketAddr,
    priority: u16,
    weight: u16,
    /// Seconds; 0 where it has expired, and where nobody names the backend any more.
    ttl: u64,
    /// Who names it.
    servers: Vec<SocketAddr>,
}

/// A server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Asked {
    address: SocketAddr,
    /// None until it is heard of.
    outcome: Option<String>,
    failures: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = DnsResolverConfig { query_interval: arguments.every, ..DnsResolverConfig::default() };
    let resolver = if arguments.server.is_empty() {
        DnsResolver::system(&arguments.service, config)
    } else {
        let servers = arguments.server.iter().copied();
        DnsResolver::new(&arguments.service, servers, config).map_err(SystemError::Config)
    };
    let resolver = match resolver {
        Ok(resolver) => resolver,
        Err(SystemError::Config(error)) => {
            let said = format!("'{}': {error}", arguments.service);
            Arguments::command().error(ErrorKind::ValueValidation, said).exit()
        }
        Err(error) => return options::exit(Err(error.into())),
    };
    options::exit(
        match arguments.runtime {
            RuntimeName::Tokio => OnTokio::run(run::<OnTokio>(&arguments, resolver)),
            RuntimeName::Smol => OnSmol::run(run::<OnSmol>(&arguments, resolver)),
        }
        .unwrap_or_else(|error| Err(error.into())),
    )
}

async fn run<P: Platform>(arguments: &Arguments, resolver: DnsResolver) -> Result<bool, Box<dyn Error>> {
    let runtime = P::Runtime::current()?;
    let mut search = Search::new(&runtime, resolver);
    if arguments.watch {
        return watch(&mut search, arguments.json).await;
    }
    let answer = search.first_round().await;
    if arguments.json {
        say(&serde_json::to_string(&answer)?)?;
    } else if !answer.backends.is_empty() {
        say(&answer.table())?;
    }
    if answer.backends.is_empty() {
        return Err(answer.complaint().into());
    }
    Ok(true)
}

/// Prints what changes, until nobody reads it.
async fn watch<R: Runtime>(search: &mut Search<R>, json: bool) -> Result<bool, Box<dyn Error>> {
    let mut before: Option<Answer> = None;
    loop {
        let answer = search.change(before.as_ref()).await;
        if json {
            say(&serde_json::to_string(&answer)?)?;
        } else {
            answer.changes(before.as_ref()).iter().try_for_each(|line| say(line))?;
        }
        before = Some(answer);
    }
}

/// A resolver at work, without a pool.
struct Search<R: Runtime> {
    sets: DnsSets<R>,
    set: Vec<Backend>,
    runtime: R,
    begin: Timestamp,
}

impl<R: Runtime> Search<R> {
    fn new(runtime: &R, resolver: DnsResolver) -> Self {
        let sets = resolver.start(runtime, Need::default());
        Self { sets, set: Vec::new(), runtime: runtime.clone(), begin: runtime.now() }
    }

    /// What is known when all servers have answered, or failed to.
    async fn first_round(&mut self) -> Answer {
        self.until(|stats, _| stats.next_round_in.is_some()).await
    }

    /// What is known when it is something else than before.
    async fn change(&mut self, before: Option<&Answer>) -> Answer {
        self.until(|_, answer| before.is_none_or(|before| !answer.is_like(before)) && answer.says_something())
            .await
    }

    /// Lets the resolver work until it is so.
    async fn until(&mut self, is_it: impl Fn(&ResolverStats, &Answer) -> bool) -> Answer {
        poll_fn(|cx| {
            self.work(cx);
            let answer = self.answer();
            if is_it(&self.sets.stats(), &answer) { Poll::Ready(answer) } else { Poll::Pending }
        })
        .await
    }

    /// Lets the resolver do what there is to do now.
    fn work(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(set)) = Pin::new(&mut self.sets).poll_next(cx) {
            self.set = set;
        }
    }

    fn answer(&self) -> Answer {
        let stats = self.sets.stats();
        let mut named: BTreeMap<_, (Duration, Vec<SocketAddr>)> = BTreeMap::new();
        for by in self.sets.named() {
            let (ttl, servers) = named.entry((by.backend.name.clone(), by.backend.address)).or_default();
            *ttl = by.fresh_for.max(*ttl);
            servers.push(by.server);
        }
        let found = |backend: &Backend| {
            let by = named.get(&(backend.name.clone(), backend.address)).cloned();
            let (ttl, servers) = by.unwrap_or_default();
            Found {
                name: backend.name.to_string(),
                address: backend.address,
                priority: backend.priority,
                weight: backend.weight,
                ttl: ttl.as_secs_f64().round() as u64,
                servers,
            }
        };
        let mut backends: Vec<_> = self.set.iter().map(found).collect();
        backends.sort_by_key(|found| found.priority);
        let asked = |server: ServerStats| Asked {
            address: server.address,
            outcome: server.last_outcome,
            failures: server.failures,
        };
        Answer {
            at_ms: self.runtime.now().since(self.begin).as_millis(),
            service: stats.service,
            backends,
            servers: stats.servers.into_iter().map(asked).collect(),
        }
    }
}

impl Answer {
    /// A line for each backend.
    fn table(&self) -> String {
        let mut rows = vec![["PRIORITY", "WEIGHT", "TTL", "BACKEND", "ADDRESS", "SERVER"].map(str::to_owned)];
        rows.extend(self.backends.iter().map(Found::row));
        let wide = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
        let widths: [usize; 6] = std::array::from_fn(wide);
        let line = |row: &[String; 6]| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// What has become of it since, a line each.
    fn changes(&self, before: Option<&Self>) -> Vec<String> {
        let known = before.map_or(&[][..], |before| &before.backends);
        let gone = known.iter().filter(|one| !self.backends.iter().any(|other| other.is_like(one)));
        let come = self.backends.iter().filter(|one| !known.iter().any(|other| other.is_like(one)));
        let asked = before.map_or(&[][..], |before| &before.servers);
        let servers = self.servers.iter().filter(|one| !asked.iter().any(|other| other.is_like(one)));
        let lines = gone.map(|one| format!("- {one}")).chain(come.map(|one| format!("+ {one}")));
        let lines = lines.chain(servers.map(|one| format!("  {one}")));
        lines.map(|line| format!("{:8.3} s {line}", self.at_ms as f64 / 1000.0)).collect()
    }

    /// Whether it differs in nothing but the time.
    fn is_like(&self, other: &Self) -> bool {
        self.changes(Some(other)).is_empty() && other.changes(Some(self)).is_empty()
    }

    /// Whether a server has been heard of.
    fn says_something(&self) -> bool {
        !self.backends.is_empty() || self.servers.iter().any(|server| server.outcome.is_some())
    }

    /// Why there are no backends.
    fn complaint(&self) -> String {
        let said = self.servers.iter().map(|server| format!("{}: {}", server.address, server.said()));
        format!("no backends of {} were found; {}", self.service, said.collect::<Vec<_>>().join("; "))
    }
}

impl Found {
    fn row(&self) -> [String; 6] {
        let Self { name, address, priority, weight, ttl, .. } = self;
        [
            priority.to_string(),
            weight.to_string(),
            format!("{ttl}s"),
            name.clone(),
            address.to_string(),
            self.by(),
        ]
    }

    fn by(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        if servers.is_empty() { "nobody any more".to_owned() } else { servers.join(", ") }
    }

    fn is_like(&self, other: &Self) -> bool {
        let Self { name, address, priority, weight, .. } = self;
        (name, address, priority, weight) == (&other.name, &other.address, &other.priority, &other.weight)
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, address, priority, weight, ttl, .. } = self;
        write!(f, "{name} {address} priority {priority} weight {weight} ttl {ttl}s by {}", self.by())
    }
}

impl Asked {
    fn said(&self) -> &str {
        self.outcome.as_deref().unwrap_or("not heard of yet")
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.address, &self.outcome) == (other.address, &other.outcome)
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} says: {}", self.address, self.said())
    }
}
