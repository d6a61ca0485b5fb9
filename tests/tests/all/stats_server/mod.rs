//! The stats server: on both runtimes over real sockets, and on the simulated one where time matters.
//!
//! - `client`: how the tests speak to it.
//! - `answers`: what it tells over plain HTTP; `abuse`: whom it refuses; `frames`: websockets.
//! - `patience`: how long it waits for whom, in virtual time.

mod abuse;
mod answers;
mod client;
mod frames;

mod patience;
