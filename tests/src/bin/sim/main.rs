//! Worlds in which the machines of qorb are tried out, from the command line.
//!
//! Each command ends with a line of JSON. The exit code is 0 where everything held, 1 where something did not,
//! and 2 where the command could not be understood or carried out.

mod chart;
mod explore;
mod fleet;
mod progress;
mod replay;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use qorb_examples::options::say;

/// Worlds in which the machines of qorb are tried out
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Walk through every interleaving of a small world, breadth first
    Explore(explore::Arguments),
    /// Put many pools in front of many backends, and see what they do to each other
    Fleet(fleet::Arguments),
    /// Let a log happen again, and compare
    Replay(replay::Arguments),
    /// Walk at random through large worlds, one for each seed
    Walk(walk::Arguments),
}

/// What came of a command: whether everything held, and its last line.
struct Outcome {
    holds: bool,
    summary: serde_json::Value,
}

/// Writes down what went wrong, and says where it is. What was found is not lost where that cannot be done.
fn keep(path: &Path, log: &str) -> Option<PathBuf> {
    let written = fs::write(path, log);
    if let Err(error) = &written {
        progress::complain(&format!("what led to it is not in {}: {error}", path.display()));
    }
    written.ok().map(|()| path.to_path_buf())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Command::Explore(arguments) => explore::run(arguments),
        Command::Fleet(arguments) => fleet::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Walk(arguments) => walk::run(arguments),
    };
    progress::clear();
    let told = outcome.and_then(|outcome| {
        say(&outcome.summary.to_string())?;
        Ok(outcome.holds)
    });
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            progress::complain(&error.to_string());
            ExitCode::from(2)
        }
    }
}
