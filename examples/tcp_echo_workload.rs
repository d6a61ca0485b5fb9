//! A pool over DNS for `_echo._tcp.test.com.`, and a load on it.
#![allow(clippy::print_stderr, reason = "it is a program")]

use std::error::Error;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use qorb_driver::{DnsResolver, DnsResolverConfig, Policy, Pool, Runtime};
use qorb_examples::options::{self, LoadOptions, RuntimeName, say};
use qorb_examples::{EchoConnector, Load, OnSmol, OnTokio, Platform, Summary, Watch, probes, screen};
use smol::future::or;
use tracing_subscriber::filter::LevelFilter;

const SERVICE: &str = "_echo._tcp.test.com.";
/// How often DNS is asked: more often than is the default, so that a change can be watched.
const QUERY_INTERVAL: Duration = Duration::from_secs(5);

/// A load on the echo servers that DNS knows as `_echo._tcp.test.com.`
///
/// Shows its claimers on a terminal, or prints a line a second, and ends with a summary in JSON. The exit code is 0 only if every claim that
/// was made got served.
#[derive(Debug, Parser)]
#[command(name = "tcp_echo_workload")]
struct Arguments {
    #[command(flatten)]
    load: LoadOptions,
    /// A DNS server to ask (repeatable)
    #[arg(long, value_name = "ADDR", default_value = "[::1]:1234")]
    bootstrap: Vec<SocketAddr>,
    /// Show no screen on a terminal
    #[arg(long)]
    headless: bool,
    /// Where to show what the pool is doing: a page at http://ADDR, frames at ws://ADDR/qtop/stats
    #[cfg(feature = "qtop")]
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:42069")]
    stats: SocketAddr,
    /// Log what happens to standard error
    #[arg(long)]
    tracing: bool,
    /// Log everything to standard error
    #[arg(long)]
    super_tracing: bool,
    /// Print commands that show this program's probes while it runs
    #[arg(long)]
    probes: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = match &arguments {
        Arguments { super_tracing: true, .. } => LevelFilter::TRACE,
        Arguments { tracing: true, .. } => LevelFilter::DEBUG,
        Arguments { .. } => LevelFilter::OFF,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    options::exit(match arguments.load.runtime {
        RuntimeName::Tokio => OnTokio::run(work::<OnTokio>(&arguments)).unwrap_or_else(|e| Err(e.into())),
        RuntimeName::Smol => OnSmol::run(work::<OnSmol>(&arguments)).unwrap_or_else(|e| Err(e.into())),
    })
}

/// Whether somebody sits at a terminal, and no log is written over the screen.
fn shows_screen(arguments: &Arguments) -> bool {
    let logs = arguments.tracing || arguments.super_tracing;
    let terminal = stdin().is_terminal() && stdout().is_terminal();
    terminal && !arguments.headless && !(logs && stderr().is_terminal())
}

async fn work<P: Platform>(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let options = &arguments.load;
    let runtime = P::Runtime::current()?;
    let config = DnsResolverConfig { query_interval: QUERY_INTERVAL, ..DnsResolverConfig::default() };
    let resolver = DnsResolver::new(SERVICE, arguments.bootstrap.iter().copied(), config)?;
    let connector = EchoConnector::<P::Tcp>::default();
    let pool = Pool::new("tcp_echo_workload", resolver, connector, Policy::default())?;
    #[cfg(feature = "qtop")]
    let _stats = qorb_examples::stats::serve(&pool, arguments.stats).await?;
    if arguments.probes {
        pool.probes()?;
        say(probes::one_liners(&std::env::current_exe()?, std::process::id()).trim_end())?;
    }

    let load = Load::start(&runtime, &pool, options.work());
    let mut watch = Watch::new(&runtime);
    let tally = if shows_screen(arguments) {
        let shown = screen::show(options.limit, &runtime, &pool, &load, &mut watch, options.hold).await?;
        let finish = async { Ok(load.finish(&runtime, &pool).await) };
        or(finish, async { Err(shown.end().await) }).await?
    } else {
        watch.until(options.span(), &pool, &load, say).await?;
        load.finish(&runtime, &pool).await
    };
    pool.terminate().await;
    say(&format!("{} requests were cut off, and made again", tally.cut_off.len()))?;
    if let Some(error) = tally.latest_error.as_ref().filter(|_| tally.claims_failed > 0) {
        eprintln!("the latest error: {error}");
    }
    let summary = Summary::new(P::NAME, tally);
    say(&summary.to_string())?;
    Ok(summary.is_good())
}
