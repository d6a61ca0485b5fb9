//! Programs that watch a pool, run as their users run them.
//!
//! - `server`: a stats server of the tests' own.
//! - `plain`: qtop without a terminal.
//! - `on_screen`: qtop, and the workload, on a real terminal, which needs tmux: a feature.

#[cfg(feature = "terminal")]
mod on_screen;
mod plain;
mod server;
