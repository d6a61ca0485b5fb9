//! The resolver machine.
