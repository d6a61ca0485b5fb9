//! Every test that needs nothing but Rust, in one program.

mod adapters;
mod dns;
mod driver;
mod fleet;
mod fuzz;
mod pool;
mod program;
mod record;
mod stats_server;
mod tidy;
mod walk;
