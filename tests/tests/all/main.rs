//! Every test that needs nothing but Rust, in one program.

mod dns;
mod driver;
mod pool;
