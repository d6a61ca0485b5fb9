//! Programs with a screen on a real terminal, which tmux is: what it shows, and how it is given back.
//!
//! `.ci/run` installs tmux, builds the programs and runs this.
//!
//! - `terminal`: a terminal, keys and what is on it; `pty`: one without tmux; `monitor`: qtop; `workload`: the
//!   workload; `panics`: a program that panics.

mod monitor;
mod panics;
#[cfg(target_os = "linux")]
mod pty;
mod terminal;
mod workload;
