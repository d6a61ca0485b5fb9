//! The pool machine.

mod better;
mod explore;
mod scenarios;
mod service;
mod stories;
mod tiers;
