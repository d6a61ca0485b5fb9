//! `sim walk`: large worlds at random, each from its beginning to its end.

use std::error::Error;
use std::ops::AddAssign;
use std::path::PathBuf;
use std::time::Instant;
use std::{fmt, fs};

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
    let attempt = |seed| walk_driver(seed).map_err(|rule| format!("seed {seed}: {rule}"));
    let walks = walks(arguments, attempt, |calls: &u64| format!("{calls} calls of the connector"))?;
    let summary = json!({
        "seeds": walks.walked,
        "calls": walks.sum,
        "seconds": walks.seconds,
        "violations": u32::from(walks.violation.is_some()),
        "seed": walks.violation.as_ref().map(|_| arguments.seed + walks.walked),
    });
    Ok(Outcome { holds: walks.violation.is_none(), summary })
}

fn run_machine(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let said = |sum: &Walked| format!("{:.1} M events", sum.events as f64 / 1e6);
    let Walks { sum, walked, violation, seconds } = walks(arguments, walk, said)?;
    if let Some(violation) = &violation {
        fs::write(&arguments.transcript, &violation.log)?;
    }
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

/// What came of all worlds up to the first violation.
struct Walks<T, V> {
    sum: T,
    /// How many had none.
    walked: u64,
    violation: Option<V>,
    seconds: f64,
}

/// Walks through one world after the other, and shows how far it is.
fn walks<T: AddAssign + Default, V: fmt::Display>(
    arguments: &Arguments,
    walk: impl Fn(u64) -> Result<T, V>,
    said: impl Fn(&T) -> String,
) -> Result<Walks<T, V>, Box<dyn Error>> {
    let (began, mut sum, mut walked, mut violation) = (Instant::now(), T::default(), 0, None);
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
            progress::show(&format!("seed {seed}, {}", said(&sum)));
        }
    }
    progress::clear();
    if let Some(violation) = &violation {
        say(&violation.to_string())?;
    }
    Ok(Walks { sum, walked, violation, seconds: began.elapsed().as_secs_f64() })
}
