//! The contract between a machine and whoever embeds it.
//!
//! ```text
//!             Event + Timestamp                         Action
//!  embedder ─────────────────────▶  Machine::handle ─────────────▶  out: &mut Vec<Action>
//!             ▲                      1 fire due timers
//!             │ deadline()           2 apply the event
//!             └──────────────────────3 settle
//! ```
//!
//! # The rules
//!
//! C1–C13 are the promises between the two sides, and assertion messages name them by number. The explorer checks
//! them in small worlds: C9 and C11 from every state, the others on every edge, but that it walks edges twice, for
//! C1 and C8, one in 16 where the world is large.
//!
//! - **C1** Same machine, same events at the same times: same actions.
//! - **C2** After `handle(now, ..)`, `deadline()` is none or later than `now`.
//! - **C3** Every started operation is answered by exactly one completion for its slot. An abort is a
//!   hint; the completion still comes.
//! - **C4** At most one operation per slot, none on a slot that a claimer holds.
//! - **C5** A grant goes only to a waiting claim, of a connection at rest on a wanted backend; each
//!   time it queues, a claim gets exactly one grant or denial unless it is cancelled. A denial comes when the
//!   claim's time is up, its tries are used up, too many wait or the pool has ended, then and only then, and
//!   says which.
//! - **C6** Nobody waits beside an idle connection that may be granted.
//! - **C7** Limits: no slot opens while slots in any state are at `max_slots` or its backend's at
//!   `max_count`; no claim first queues while claims without a connection are at `max_waiting`; the
//!   actions of one event, notes aside, are at most
//!   2 × (slots before + slots after + claims without a connection before) + 8.
//! - **C8** Time may stand still but never goes back: the machine clamps it.
//! - **C9** From every reachable state, if the world behaves, every waiting claim is served.
//! - **C10** Shutdown: everybody without a handle is denied at once, nothing but a close is started,
//!   `Stopped` comes exactly once, when only connections in claimers' hands remain, and each of those
//!   closes on return.
//! - **C11** A healthy backend is never starved: if one backend behaves and the others answer nothing,
//!   every waiting claim is served once claimed slots return.
//! - **C12** Claims are granted in the order of their arrival; one that queues again keeps its place.
//! - **C13** Counters and indexes equal a recount of the state.

use alloc::vec::Vec;

use crate::time::Timestamp;

/// A deterministic machine: events and the time in, actions out.
///
/// Written once for the pool and the resolver, so that drivers, recorders, replayers, explorers and
/// fuzzers are too.
pub trait Machine {
    /// What can happen to it.
    type Event;
    /// What it asks of its embedder.
    type Action;

    /// Fires the timers that are due at `now`, applies `event`, restores what must always hold, and
    /// appends the resulting actions to `out` in causal order.
    ///
    /// The embedder carries out every one of them. A `now` before the latest one counts as the latest.
    fn handle(&mut self, now: Timestamp, event: Self::Event, out: &mut Vec<Self::Action>);

    /// When the embedder has to call [`Machine::handle`] with a tick although nothing else happens.
    /// A machine with nothing due may answer by naming a later time.
    fn deadline(&self) -> Option<Timestamp>;
}
