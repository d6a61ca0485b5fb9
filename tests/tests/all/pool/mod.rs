//! The pool machine.

mod explore;
mod scenarios;
mod stories;
