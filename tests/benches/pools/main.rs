//! How fast the pool is, beside the newest pools of others and a floor, in one process.
//!
//! ```text
//! cargo bench -p qorb-tests --features peers --bench pools [-- --quick] [--only NAME] [--out DIR]
//! ```
//!
//! Prints tables in Markdown, and with `--out` writes them as JSON with a chart of each. Everybody has
//! the same connections, 16 of them unless a table says otherwise. Rounds are interleaved, so that what the
//! computer does meanwhile hits everybody; a figure is the median of its rounds, with the least and the most in
//! brackets. `--quick` takes a minute and is good for ratios of two or more.

mod contenders;
mod crowd;
mod echo;
mod quiet;
mod report;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use qorb_examples::options::say;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use self::report::Table;

const SLOTS: usize = 16;

#[derive(Parser, Debug)]
struct Arguments {
    /// Takes a minute
    #[arg(long)]
    quick: bool,
    /// Measures the scenarios alone whose name has this in it
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Writes `results.json` and a chart of each table there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Serves the requests of another process like this one
    #[arg(long, hide = true)]
    serve: bool,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    quick: bool,
}

impl Effort {
    fn pick(self, quick: u32, full: u32) -> u32 {
        if self.quick { quick } else { full }
    }

    fn rounds(self) -> usize {
        self.pick(5, 21) as usize
    }
}

fn single() -> Arc<Runtime> {
    Arc::new(Builder::new_current_thread().enable_all().build().expect("a runtime"))
}

fn multi() -> Arc<Runtime> {
    Arc::new(Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"))
}

type Scenario = (&'static str, fn(Effort) -> Table);

const SCENARIOS: [Scenario; 16] = [
    ("uncontended", quiet::uncontended),
    ("waiting", quiet::waiting),
    ("sizes", quiet::sizes),
    ("behind the dropped", quiet::dropped),
    ("4 tasks", |effort| crowd::wide(effort, "4 tasks", 4)),
    ("16 tasks", |effort| crowd::wide(effort, "16 tasks", 16)),
    ("64 tasks", |effort| crowd::wide(effort, "64 tasks", 64)),
    ("256 tasks", |effort| crowd::wide(effort, "256 tasks", 256)),
    ("1000 tasks", |effort| crowd::wide(effort, "1000 tasks", 1000)),
    ("one thread", crowd::on_one_thread),
    ("echo, 16 tasks", |effort| echo::requests(effort, "echo, 16 tasks", 16, 0.93)),
    ("echo, 64 tasks", |effort| echo::requests(effort, "echo, 64 tasks", 64, 0.97)),
    ("one killed", echo::killed),
    ("memory", quiet::memory),
    ("cold start", quiet::cold),
    ("idle", quiet::idle),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if arguments.serve {
        return Ok(echo::serve()?);
    }
    let effort = Effort { quick: arguments.quick };
    let mut tables = Vec::new();
    for (_, scenario) in SCENARIOS.iter().filter(|(name, _)| name.contains(&arguments.only)) {
        let table = scenario(effort);
        say(&table.markdown())?;
        tables.push(table);
    }
    if tables.is_empty() {
        let names: Vec<_> = SCENARIOS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no scenario has {:?} in its name: {}", arguments.only, names.join("; ")).into());
    }
    if let Some(folder) = &arguments.out {
        fs::create_dir_all(folder)?;
        let results = json!(tables.iter().map(Table::json).collect::<Vec<_>>());
        fs::write(folder.join("results.json"), serde_json::to_string_pretty(&results)?)?;
        for table in &tables {
            table.draw(folder)?;
        }
    }
    Ok(())
}
