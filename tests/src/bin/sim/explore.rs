//! `sim explore`: every interleaving of a small world.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use qorb_examples::options::say;
use qorb_tests::explore::{Sometimes, explore};
use qorb_tests::pool_world::{Freedom, PoolWorld, SOMETIMES, Size};
use serde_json::json;

use super::{Outcome, progress};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many backends there are
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=8))]
    backends: u16,
    /// How many slots the pool may have
    #[arg(long, default_value_t = 2)]
    slots: usize,
    /// How many claims may be outstanding
    #[arg(long, default_value_t = 2)]
    claims: u32,
    /// Stop after so many states
    #[arg(long, default_value_t = 10_000_000)]
    limit: usize,
    /// Where the shortest way to a violation is written
    #[arg(long, value_name = "FILE", default_value = "explore-violation.txt")]
    transcript: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let Arguments { backends, slots, claims, limit, ref transcript } = *arguments;
    progress::show(&format!("exploring {backends} backends, {slots} slots, {claims} claims"));
    let world = PoolWorld::new(Size { backends, slots, claims }, Freedom::ALL);
    let report = explore(&world, Sometimes::new(SOMETIMES), limit);
    progress::clear();
    if let Some(violation) = &report.violation {
        fs::write(transcript, format!("{}\n\n{}", violation.rule, violation.transcript))?;
        say(&format!("{}\n\n{}", violation.rule, violation.transcript))?;
    }
    let seconds = report.took.as_secs_f64();
    let summary = json!({
        "states": report.states,
        "transitions": report.transitions,
        "depth": report.depth,
        "complete": report.complete,
        "never": report.sometimes.missing(),
        "transitions_per_second": (report.transitions as f64 / seconds).round(),
        "violations": u32::from(report.violation.is_some()),
        "transcript": report.violation.as_ref().map(|_| transcript),
    });
    Ok(Outcome { holds: report.violation.is_none(), summary })
}
