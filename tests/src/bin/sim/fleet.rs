//! `sim fleet`: many pools in front of many backends.

use std::cell::Cell;
use std::error::Error;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use clap::Args;
use qorb_examples::options::{positive, say};
use qorb_tests::fleet::{Glance, Report, SCENARIOS, Scenario, Size};
use serde_json::json;

use super::{Outcome, chart, keep, progress};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many pools there are
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pools: u32,
    /// How many backends there are
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=60_000))]
    backends: u32,
    /// How much virtual time a scenario without a length of its own takes: 10m, 1h
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = positive)]
    span: Duration,
    /// Which scenario, or all of them
    #[arg(long, value_name = "NAME", default_value = "all", value_parser = scenarios)]
    scenario: Chosen,
    /// Decides every chance
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Draw a chart of each scenario into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct Chosen(Vec<Scenario>);

fn scenarios(name: &str) -> Result<Chosen, String> {
    let chosen: Vec<_> = SCENARIOS.into_iter().filter(|of| name == "all" || name == of.name).collect();
    if chosen.is_empty() {
        let names: Vec<_> = SCENARIOS.iter().map(|of| of.name).collect();
        return Err(format!("there are: all, {}", names.join(", ")));
    }
    Ok(Chosen(chosen))
}

thread_local! {
    /// The scenario that runs in this thread.
    static SCENARIO: Cell<&'static str> = const { Cell::new("") };
}

fn glance(glance: Glance) {
    let seconds = glance.now.as_nanos() / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let events = glance.events as f64 / 1e6;
    let (name, seconds) = (SCENARIO.get(), seconds % 60);
    progress::show(&format!("{name}: {hours}:{minutes:02}:{seconds:02}, {events:.1} M events"));
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let size = Size {
        pools: arguments.pools as usize,
        backends: arguments.backends as usize,
        span: arguments.span,
        seed: arguments.seed,
        onlooker: glance,
    };
    if let Some(folder) = &arguments.out {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let began = Instant::now();
    // For how long scenarios ran, each on a core of its own.
    let mut busy = Duration::ZERO;
    let (mut events, mut failed, mut logs) = (0, 0, Vec::new());
    let scenarios = Mutex::new(arguments.scenario.0.clone().into_iter());
    thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        for (scenario, report, took) in at_once(scope, &scenarios, size) {
            progress::clear();
            busy += took;
            match &report {
                Ok(report) => {
                    tell(&scenario, report, took)?;
                    events += report.events;
                    failed += report.failed().count();
                    if let Some(folder) = &arguments.out {
                        let path = folder.join(scenario.name).with_extension("svg");
                        chart::draw(&path, &scenario, report)?;
                    }
                }
                Err(rule) => {
                    say(&format!("{}: FAILED: {rule}", scenario.name))?;
                    failed += 1;
                }
            }
            if !report.as_ref().is_ok_and(Report::passes) {
                logs.extend(keep_shortest(&scenario, size, report)?);
            }
        }
        Ok(())
    })?;
    let summary = json!({
        "scenarios": arguments.scenario.0.len(),
        "pools": size.pools,
        "backends": size.backends,
        "seed": size.seed,
        "events": events,
        "seconds": began.elapsed().as_secs_f64(),
        "events_per_second": (events as f64 / began.elapsed().as_secs_f64()).round(),
        "events_per_second_of_a_core": (events as f64 / busy.as_secs_f64()).round(),
        "violations": failed,
        "transcripts": logs,
    });
    Ok(Outcome { holds: failed == 0, summary })
}

/// Runs as many scenarios at a time as there are cores. Each is given back as soon as it has ended.
fn at_once<'scope>(
    scope: &'scope Scope<'scope, '_>,
    scenarios: &'scope Mutex<IntoIter<Scenario>>,
    size: Size,
) -> Receiver<(Scenario, Result<Report, String>, Duration)> {
    let (ended, reports) = mpsc::channel();
    for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
        let ended = ended.clone();
        let take = || scenarios.lock().expect("taking one does not panic").next();
        scope.spawn(move || {
            while let Some(scenario) = take() {
                SCENARIO.set(scenario.name);
                let start = Instant::now();
                let report = scenario.run(size);
                if ended.send((scenario, report, start.elapsed())).is_err() {
                    return;
                }
            }
        });
    }
    reports
}

/// Tells which is the smallest fleet that fails like this one, and writes what happened to its first pool, unless
/// a machine panics.
fn keep_shortest(
    scenario: &Scenario,
    size: Size,
    ended: Result<Report, String>,
) -> Result<Option<PathBuf>, Box<dyn Error>> {
    SCENARIO.set(scenario.name);
    let (size, ended) = scenario.shrink(size, ended);
    progress::clear();
    say("  the shortest run that fails like this is")?;
    say(&command(scenario, size))?;
    let report = match ended {
        Ok(report) => report,
        Err(rule) => {
            say(&format!("  {rule}"))?;
            return Ok(None);
        }
    };
    let path = keep(Path::new(&format!("fleet-{}.log", scenario.name)), &report.log);
    if let Some(path) = &path {
        say(&format!("  what happened to its first pool is in {}", path.display()))?;
    }
    Ok(path)
}

/// What runs this fleet again.
fn command(scenario: &Scenario, size: Size) -> String {
    let Size { pools, backends, span, seed, .. } = size;
    let span = match span.as_millis() {
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    };
    let fleet = format!("--pools {pools} --backends {backends} --for {span} --seed {seed}");
    format!("  sim fleet --scenario {} {fleet}", scenario.name)
}

fn tell(scenario: &Scenario, report: &Report, took: Duration) -> Result<(), Box<dyn Error>> {
    let events = report.events as f64 / 1e6;
    say(&format!(
        "{}: {} ({events:.1} M events in {:.1} s)",
        scenario.name,
        scenario.about,
        took.as_secs_f64()
    ))?;
    for line in &report.lines {
        say(&format!("  {line}"))?;
    }
    Ok(())
}
