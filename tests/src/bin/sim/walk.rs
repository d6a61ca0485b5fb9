//! `sim walk`: large worlds at random, each from its beginning to its end.

use std::error::Error;
use std::ops::AddAssign;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use qorb_examples::options::say;
use qorb_tests::walk::{Driven, Violation, Walked, retell, walk, walk_driver};
use serde_json::json;

use super::{Outcome, keep, progress};

/// How many worlds pass between two looks at the terminal.
const GLANCE: u64 = 50;
/// In one of so many worlds of the driver, all that it tells its machine is looked at too.
const RETOLD: u64 = 16;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many worlds there are
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
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

fn run_driver(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let said = |sum: &Driven| format!("{} calls of the connector", sum.calls);
    let Walks { sum, walked, violation, transcript, seconds } = walks(arguments, walk_and_retell, said)?;
    let summary = json!({
        "seeds": walked,
        "events": sum.events,
        "calls": sum.calls,
        "answered_before_others": sum.compared,
        "seconds": seconds,
        "events_per_second": (sum.events as f64 / seconds).round(),
        "violations": u32::from(violation.is_some()),
        "seed": violation.as_ref().map(|violation| violation.seed),
        "transcript": transcript,
    });
    Ok(Outcome { holds: violation.is_none(), summary })
}

/// Walks with the driver's short ways, and in some worlds again without: then everything that the driver tells its
/// machine happens once more before a shadow, which knows the whole contract.
fn walk_and_retell(seed: u64) -> Result<Driven, Box<Violation>> {
    let driven = walk_driver(seed)?;
    if seed.is_multiple_of(RETOLD) {
        retell(seed)?;
    }
    Ok(driven)
}

fn run_machine(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let said = |sum: &Walked| format!("{:.1} M events", sum.events as f64 / 1e6);
    let Walks { sum, walked, violation, transcript, seconds } = walks(arguments, walk, said)?;
    let summary = json!({
        "seeds": walked,
        "events": sum.events,
        "granted": sum.granted,
        "served_in_the_end": sum.served,
        "seconds": seconds,
        "events_per_second": (sum.events as f64 / seconds).round(),
        "violations": u32::from(violation.is_some()),
        "seed": violation.as_ref().map(|violation| violation.seed),
        "transcript": transcript,
    });
    Ok(Outcome { holds: violation.is_none(), summary })
}

/// What came of all worlds up to the first violation.
struct Walks<T> {
    sum: T,
    /// How many had none.
    walked: u64,
    violation: Option<Box<Violation>>,
    /// Where its log is.
    transcript: Option<PathBuf>,
    seconds: f64,
}

/// Walks through one world after the other, shows how far it is, and writes down what goes wrong.
fn walks<T: AddAssign + Default>(
    arguments: &Arguments,
    walk: impl Fn(u64) -> Result<T, Box<Violation>>,
    said: impl Fn(&T) -> String,
) -> Result<Walks<T>, Box<dyn Error>> {
    let (began, mut sum, mut walked, mut violation) = (Instant::now(), T::default(), 0, None);
    let seeds = (0..arguments.seeds.into()).map(|number: u64| arguments.seed.wrapping_add(number));
    for seed in seeds {
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
    let mut transcript = None;
    if let Some(violation) = &violation {
        say(&violation.to_string())?;
        transcript = keep(&arguments.transcript, &violation.log);
    }
    Ok(Walks { sum, walked, violation, transcript, seconds: began.elapsed().as_secs_f64() })
}
