//! Everything in one process, with no set-up: three echo servers, a DNS server that knows them, a pool
//! that finds them by their service's name, and claimers at work. Halfway one server is killed and
//! brought back.
#![allow(clippy::print_stderr, reason = "it is a program")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use qorb_driver::{Backend, DnsResolver, DnsResolverConfig, Policy, Pool, Runtime};
use qorb_examples::options::{self, LoadOptions, RuntimeName, say};
use qorb_examples::{DnsServer, EchoServer, Load, OnSmol, OnTokio, Platform, Summary, Watch};

const SERVICE: &str = "_echo._tcp.test.com.";
const NAMES: [&str; 3] = ["echo001.test.com.", "echo002.test.com.", "echo003.test.com."];
/// The one that is killed.
const VICTIM: usize = 1;

/// A pool over three echo servers found by DNS, all in one process.
///
/// Prints a line a second and ends with a summary in JSON. The exit code is 0 only if every claim that
/// was made got served.
#[derive(Debug, Parser)]
#[command(name = "quickstart")]
struct Arguments {
    #[command(flatten)]
    load: LoadOptions,
}

fn main() -> ExitCode {
    let Arguments { load } = Arguments::parse();
    options::exit(match load.runtime {
        RuntimeName::Tokio => OnTokio::run(show::<OnTokio>(&load)).unwrap_or_else(|error| Err(error.into())),
        RuntimeName::Smol => OnSmol::run(show::<OnSmol>(&load)).unwrap_or_else(|error| Err(error.into())),
    })
}

async fn show<P: Platform>(options: &LoadOptions) -> Result<bool, Box<dyn Error>> {
    let runtime = P::Runtime::current()?;
    let mut servers = Vec::new();
    for name in NAMES {
        let server = EchoServer::start(options::loopback()?)?;
        say(&format!("{name} listens at {}", server.address()))?;
        servers.push(server);
    }
    let targets = NAMES.into_iter().zip(servers.iter().map(EchoServer::address));
    let dns = DnsServer::start(options::loopback()?, SERVICE, targets)?;
    say(&format!("a DNS server at {} knows them as {SERVICE}", dns.address()))?;

    let resolver = DnsResolver::new(SERVICE, [dns.address()], DnsResolverConfig::default())?;
    let pool = Pool::new("quickstart", resolver, P::Tcp::default(), Policy::default())?;
    let load = Load::start(&runtime, &pool, options.work());
    let mut watch = Watch::new(&runtime);

    watch.until(options.span() / 2, &pool, &load, say).await?;
    let victim = Backend::new(NAMES[VICTIM], servers[VICTIM].address());
    servers[VICTIM].kill();
    say(&format!("        {victim} is killed"))?;
    load.tally().await_answer(victim.clone(), runtime.now());

    let down = (options.span() / 5).min(Duration::from_secs(2));
    watch.until(options.span() / 2 + down, &pool, &load, say).await?;
    while let Err(error) = servers[VICTIM].revive() {
        say(&format!("        {victim} cannot come back yet: {error}"))?;
        let soon = watch.elapsed() + Duration::from_millis(200);
        watch.until(soon, &pool, &load, say).await?;
    }
    say(&format!("        {victim} is back"))?;
    load.tally().await_answer(victim, runtime.now());

    watch.until(options.span(), &pool, &load, say).await?;
    let tally = load.finish(&runtime, &pool).await;
    pool.terminate().await;
    say(&format!("{} requests were cut off, and made again", tally.cut_off.len()))?;
    if let Some(error) = tally.latest_error.as_ref().filter(|_| tally.claims_failed > 0) {
        eprintln!("the latest error: {error}");
    }
    let summary = Summary::new(P::NAME, tally);
    say(&summary.to_string())?;
    Ok(summary.is_good())
}
