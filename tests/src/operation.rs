//! The operations that a world carries out for the machine.

/// What a slot's connection is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Connect,
    Check,
    Recycle,
    Close,
}

/// A running operation, and whether it was told to give up.
pub(crate) type Running = Option<(Operation, bool)>;
