//! A short run of a pool in which probes fire a known number of times: something to try a tracer on.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use qorb_driver::{Backend, Connector, FixedResolver, Policy, Pool, Runtime, SetConfig};
use qorb_examples::options::{self, RuntimeName, say};
use qorb_examples::{OnSmol, OnTokio, Platform};

/// Longer than a claim of this program ever waits for a connection that comes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits for one that does not.
const IMPATIENCE: Duration = Duration::from_millis(50);

/// A short run of a pool in which probes fire a known number of times
///
/// The first of its connects fails and three succeed, the claims follow one after the other, the connection of
/// the last one takes a moment to recycle, another claim finds no connection in time, and one connection
/// fails to recycle, after which the other one is checked.
#[derive(Debug, Parser)]
#[command(name = "probes")]
struct Arguments {
    /// The async runtime to run on
    #[arg(long, value_enum, default_value_t = RuntimeName::Tokio)]
    runtime: RuntimeName,
    /// How many claims are served one after the other
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    claims: u16,
}

/// Connections to nowhere. What is to happen the next time is set beforehand.
struct Play<R> {
    runtime: R,
    fail_connect: AtomicBool,
    recycle_slowly: AtomicBool,
    fail_recycle: AtomicBool,
    checked: AtomicBool,
}

/// The connector's part of it.
struct Part<R>(Arc<Play<R>>);

impl<R: Runtime> Connector for Part<R> {
    type Connection = ();
    type Error = io::Error;

    async fn connect(&self, _: &Backend) -> io::Result<()> {
        let fails = self.0.fail_connect.swap(false, Ordering::Relaxed);
        if fails { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
    }

    async fn is_valid(&self, (): &mut ()) -> io::Result<()> {
        self.0.checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn on_recycle(&self, (): &mut ()) -> io::Result<()> {
        if self.0.recycle_slowly.swap(false, Ordering::Relaxed) {
            let runtime = &self.0.runtime;
            runtime.sleep_until(runtime.now().after(Duration::from_millis(1))).await;
        }
        let fails = self.0.fail_recycle.swap(false, Ordering::Relaxed);
        if fails { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    options::exit(match arguments.runtime {
        RuntimeName::Tokio => OnTokio::run(play::<OnTokio>(&arguments)).unwrap_or_else(|e| Err(e.into())),
        RuntimeName::Smol => OnSmol::run(play::<OnSmol>(&arguments)).unwrap_or_else(|e| Err(e.into())),
    })
}

async fn play<P: Platform>(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let runtime = P::Runtime::current()?;
    let play = Arc::new(Play {
        runtime: runtime.clone(),
        fail_connect: AtomicBool::new(true),
        recycle_slowly: AtomicBool::new(false),
        fail_recycle: AtomicBool::new(false),
        checked: AtomicBool::new(false),
    });
    // Checks come from errors alone, and nothing from the time that a tracer takes.
    let never = Duration::MAX;
    let set_config = SetConfig { health_interval: never, ..SetConfig::default() };
    let policy =
        Policy { spares_wanted: 2, max_slots: 2, rebalance_interval: never, set_config, ..Policy::default() };
    let resolver = FixedResolver::new([([127, 0, 0, 1], 9).into()]);
    let pool: Pool<_, P::Runtime> = Pool::new("play", resolver, Part(Arc::clone(&play)), policy)?;
    pool.probes()?;

    let ready = async || -> Result<(), Box<dyn Error>> {
        while pool.stats().backends.iter().map(|of| of.unclaimed_slots).sum::<usize>() < 2 {
            P::pause(&runtime, Duration::from_millis(1)).await;
        }
        Ok(())
    };
    ready().await?;
    for claim in 1..=arguments.claims {
        let handle = pool.claim_within(PATIENCE).await?;
        play.recycle_slowly.store(claim == arguments.claims, Ordering::Relaxed);
        drop(handle);
    }
    ready().await?;
    let (kept, broken) = (pool.claim_within(PATIENCE).await?, pool.claim_within(PATIENCE).await?);
    let error = pool.claim_within(IMPATIENCE).await.err().ok_or("a third connection of two")?;
    drop(kept);
    play.fail_recycle.store(true, Ordering::Relaxed);
    drop(broken);
    ready().await?;
    let checked = play.checked.load(Ordering::Relaxed);
    say(&format!("{} claims served, one denied: {error}", arguments.claims + 2))?;
    pool.terminate().await;
    Ok(checked)
}
