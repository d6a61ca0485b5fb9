//! A terminal monitor of qorb's pools.
//!
//! What is known and what is shown are pure; I/O is at the edge.
//!
//! - [`frame`]: what a server says, read without trust; [`address`]: where it is.
//! - [`model`]: frames, keys and the time go in, rates and rows come out; [`keys`]: the one table of keys.
//! - [`view`]: draws a model.
//! - [`link`]: connects and reads; [`screen`]: a terminal that is always given back.
//! - [`monitor`]: all of it on a screen; [`plain`]: without one; [`arguments`]: which of them.

pub mod address;
pub mod arguments;
pub mod frame;
pub mod keys;
pub mod link;
pub mod model;
pub mod monitor;
pub mod plain;
pub mod screen;
pub mod view;
