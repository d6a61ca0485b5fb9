//! The stats server: on both runtimes over real sockets, and on the simulated one where time matters.
//!
//! - `client`: how the tests speak to it.
//! - `answers`: what it tells over plain HTTP; `abuse`: whom it refuses; `frames`: websockets.
//! - `patience`: how long it waits for whom, in virtual time.
//! - `metrics`: what Prometheus reads; `cost`: what it costs to be looked at.

mod abuse;
mod answers;
mod client;
mod cost;
mod frames;
mod metrics;

mod patience;
