//! `sim walk`: large worlds at random, each from its beginning to its end.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use qorb_examples::options::say;
use qorb_tests::walk::{Walked, walk, walk_driver};
use serde_json::json;

use super::{Outcome, progress};

/// How many worlds pass between two looks at the terminal.
const GLANCE: u64 = 50;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many worlds there are
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    seeds: u64,
    /// The first world
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Walk with the driver on a simulated runtime
    #[arg(long)]
    driver: bool,
    /// Where the log of a violation is written
    #[arg(long, value_name = "FILE", default_value = "walk-violation.log")]
    transcript: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    if arguments.driver { run_driver(arguments) } else { run_machine(arguments) }
}

/// The driver's worlds have no log: a seed is what there is to look at.
fn run_driver(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let (began, mut calls, mut walked) = (Instant::now(), 0, 0);
    let mut violation = None;
    for seed in (arguments.seed..).take(usize::try_from(arguments.seeds)?) {
        match walk_driver(seed) {
            Ok(one) => calls += one,
            Err(rule) => {
                say(&format!("seed {seed}: {rule}"))?;
                violation = Some(seed);
                break;
            }
        }
        walked += 1;
        if walked % GLANCE == 0 {
            progress::show(&format!("seed {seed}, {calls} calls of the connector"));
        }
    }
    let summary = json!({
        "seeds": walked,
        "calls": calls,
        "seconds": began.elapsed().as_secs_f64(),
        "violations": u32::from(violation.is_some()),
        "seed": violation,
    });
    Ok(Outcome { holds: violation.is_none(), summary })
}

fn run_machine(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let (began, mut sum, mut walked) = (Instant::now(), Walked::default(), 0);
    let mut violation = None;
    for seed in (arguments.seed..).take(usize::try_from(arguments.seeds)?) {
        match walk(seed) {
            Ok(one) => sum += one,
            Err(broken) => {
                violation = Some(broken);
                break;
            }
        }
        walked += 1;
        if walked % GLANCE == 0 {
            progress::show(&format!("seed {seed}, {:.1} M events", sum.events as f64 / 1e6));
        }
    }
    progress::clear();
    if let Some(violation) = &violation {
        fs::write(&arguments.transcript, &violation.log)?;
        say(&violation.to_string())?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let summary = json!({
        "seeds": walked,
        "events": sum.events,
        "granted": sum.granted,
        "served_in_the_end": sum.served,
        "seconds": seconds,
        "events_per_second": (sum.events as f64 / seconds).round(),
        "violations": u32::from(violation.is_some()),
        "seed": violation.as_ref().map(|violation| violation.seed),
        "transcript": violation.as_ref().map(|_| &arguments.transcript),
    });
    Ok(Outcome { holds: violation.is_none(), summary })
}
