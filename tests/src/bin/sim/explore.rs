//! `sim explore`: every interleaving of a small world.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use qorb_examples::options::say;
use qorb_tests::pool_world::{Freedom, Seen, Size, walk};
use serde_json::json;

use super::{Outcome, progress};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many backends there are
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=4))]
    backends: u16,
    /// How many slots the pool may have
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    slots: u8,
    /// How many slots each backend may have
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    slots_of_one: u8,
    /// How many claims may be outstanding
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    claims: u8,
    /// Nothing of this kind happens
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    without: Vec<Kind>,
    /// Stop after the layer in which so many states are known
    #[arg(long, default_value_t = 100_000_000)]
    limit: usize,
    /// Print which state of a slot leads to which
    #[arg(long)]
    table: bool,
    /// Where the shortest way to a violation is written
    #[arg(long, value_name = "FILE", default_value = "explore-violation.txt")]
    transcript: PathBuf,
}

/// What a world may do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    /// The set of backends changes
    Membership,
    /// `on_acquire` pends and fails
    Acquire,
    /// The pool is shut down
    Shutdown,
    /// Claims give up waiting
    Deadlines,
    /// Claims are now or never
    Hasty,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let Arguments { backends, limit, ref transcript, .. } = *arguments;
    let (slots, claims) = (usize::from(arguments.slots), usize::from(arguments.claims));
    let size = Size { backends, slots, slots_of_one: usize::from(arguments.slots_of_one), claims };
    let with = |kind| !arguments.without.contains(&kind);
    let freedom = Freedom {
        membership: with(Kind::Membership),
        acquire: with(Kind::Acquire),
        shutdown: with(Kind::Shutdown),
        deadlines: with(Kind::Deadlines),
        hasty: with(Kind::Hasty),
    };
    let report = walk(size, freedom, limit, Seen::default(), |far| progress::show(&far.to_string()));
    progress::clear();
    if let Some(violation) = &report.violation {
        fs::write(transcript, violation.to_string())?;
        say(&violation.to_string())?;
    }
    if arguments.table {
        for row in report.seen.table() {
            say(&row)?;
        }
    }
    let far = report.progress;
    let seconds = far.took.as_secs_f64();
    let summary = json!({
        "states": far.states,
        "transitions": far.transitions,
        "depth": far.depth,
        "complete": report.complete,
        "never": report.seen.missing(),
        "seconds": seconds,
        "events_per_second": (far.transitions as f64 / seconds).round(),
        "violations": u32::from(report.violation.is_some()),
        "transcript": report.violation.as_ref().map(|_| transcript),
    });
    Ok(Outcome { holds: report.violation.is_none(), summary })
}
