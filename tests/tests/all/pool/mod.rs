//! The pool machine.

mod better;
mod explore;
mod scenarios;
mod stories;
mod tiers;
