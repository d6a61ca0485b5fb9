//! What the program is asked to do.

use clap::{Parser, ValueEnum};

use crate::address::{Address, DEFAULT};

/// Watches a qorb pool on the terminal
///
/// Without a terminal on standard output it prints tables. `?` shows the keys.
/// The exit code is 0 when it is done, 1 when it failed, 2 when it was asked for what there is not.
#[derive(Clone, Debug, Parser)]
#[command(name = "qtop")]
pub struct Arguments {
    /// The stats server: ws://HOST:PORT/qtop/stats; what is missing is completed
    #[arg(value_name = "URL", default_value = DEFAULT)]
    pub address: Address,
    /// Seconds between two frames, as the server is asked for
    #[arg(short, long, value_name = "SECS", value_parser = clap::value_parser!(u8).range(1..))]
    pub interval: Option<u8>,
    /// End after so many frames
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Print one frame as a table and end: as `-n 1 --no-reconnect` without a terminal
    #[arg(long, conflicts_with = "count")]
    pub once: bool,
    /// Print frames as JSON, one a line
    #[arg(long)]
    pub json: bool,
    /// Fail when the link is lost
    #[arg(long)]
    pub no_reconnect: bool,
    /// Whether to use colours; auto heeds NO_COLOR
    #[arg(long, value_enum, default_value_t = Colours::Auto)]
    pub color: Colours,
    /// Draw with nothing but ASCII
    #[arg(long)]
    pub ascii: bool,
}

/// Whether there are colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Colours {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Colours {
    /// Whether there are colours, on a terminal or not.
    #[must_use]
    pub fn wanted(self, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}
