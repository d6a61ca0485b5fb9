//! The pool machine.

mod event;
mod policy;

pub use event::{
    Action, BackendId, ClaimId, Denial, Event, Failure, Note, Return, SlotId, SlotKind, Ticket,
};
pub use policy::{Policy, PolicyError, SetConfig};
