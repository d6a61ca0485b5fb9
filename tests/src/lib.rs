//! Worlds for the machines to live in: what the tests, the explorer and the simulations share.

// hickory-proto finds its `critical-section` provider only in a program that links one.
use once_cell as _;

mod contract;
pub mod dns_world;
pub mod explore;
pub mod fleet;
pub mod fuzz;
mod operation;
pub mod panics;
pub mod pool_sim;
pub mod pool_world;
pub mod resolver_world;
pub mod sim;
pub mod walk;
