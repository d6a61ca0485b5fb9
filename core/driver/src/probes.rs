//! USDT probes of the provider `qorb`: names, arguments and order are an interface.
//!
//! One function for each moment, out of line, so that a probe nobody watches costs a few instructions and no
//! code cache. Those of every turn go by one flag, as of the last look. Without the feature `probes`, and on
//! systems that have no such tracers, the same functions do nothing.

#![allow(unsafe_code, reason = "the macros of `usdt` expand to inline assembly")]
#![cfg_attr(
    not(feature = "probes"),
    allow(unused_variables, dead_code, reason = "without the feature nobody looks at the arguments")
)]

#[cfg(feature = "probes")]
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use qorb_core::pool::{Failure, SlotKind};

use crate::error::ProbeError;

#[cfg(feature = "probes")]
#[usdt::provider(provider = "qorb")]
mod qorb {
    fn claim__start(pool: &str, claim_id: u64) {}
    fn claim__done(pool: &str, claim_id: u64, slot_id: u64) {}
    fn claim__failed(pool: &str, claim_id: u64, reason: &str) {}
    fn claim__acquire__failed(pool: &str, claim_id: u64, reason: &str) {}
    fn claim__queued(pool: &str, claim_id: u64, depth: u64) {}
    fn claim__cancelled(pool: &str, claim_id: u64) {}
    fn pool__claim__start(pool: &str, claim_id: u64) {}
    fn pool__claim__done(pool: &str, claim_id: u64, slot_id: u64) {}
    fn pool__claim__failed(pool: &str, claim_id: u64) {}
    fn slot__set__claim__start(pool: &str, claim_id: u64, addr: &str) {}
    fn slot__set__claim__done(pool: &str, claim_id: u64, slot_id: u64) {}
    fn slot__set__claim__failed(pool: &str, claim_id: u64, reason: &str) {}
    fn slot__set__online(pool: &str, addr: &str, has_unclaimed: u8) {}
    fn slot__set__offline(pool: &str, addr: &str) {}
    fn slot__state__change(pool: &str, addr: &str, slot_id: u64, old: &str, new: &str, stats: &str) {}
    fn handle__claimed(pool: &str, claim_id: u64, slot_id: u64, addr: &str) {}
    fn handle__returned(pool: &str, slot_id: u64) {}
    fn connect__start(pool: &str, slot_id: u64, addr: &str) {}
    fn connect__done(pool: &str, slot_id: u64, addr: &str) {}
    fn connect__failed(pool: &str, slot_id: u64, addr: &str, reason: &str) {}
    fn health__check__start(pool: &str, slot_id: u64, addr: &str) {}
    fn health__check__done(pool: &str, slot_id: u64) {}
    fn health__check__failed(pool: &str, slot_id: u64, reason: &str) {}
    fn recycle__start(pool: &str, slot_id: u64, addr: &str) {}
    fn recycle__done(pool: &str, slot_id: u64) {}
    fn recycle__failed(pool: &str, slot_id: u64, reason: &str) {}
    fn rebalance__start(pool: &str) {}
    fn rebalance__done(pool: &str) {}
}

/// Whether there are tracers for this system. Elsewhere the macros of `usdt` would make arguments for nobody.
const TRACEABLE: bool = cfg!(feature = "probes")
    && cfg!(any(
        target_os = "linux",
        target_os = "macos",
        target_os = "illumos",
        target_os = "solaris",
        target_os = "freebsd"
    ));

/// Calls one probe, or nothing.
macro_rules! fire {
    ($probe:ident, $($argument:expr),+) => {
        {
            #[cfg(feature = "probes")]
            if TRACEABLE {
                qorb::$probe!(|| ($($argument),+));
            }
        }
    };
}

/// Shows the probes to the system's tracer. Once for a whole process is enough; more is harmless.
pub(crate) fn register() -> Result<(), ProbeError> {
    #[cfg(feature = "probes")]
    {
        usdt::register_probes().map_err(|error| ProbeError(error.to_string()))
    }
    #[cfg(not(feature = "probes"))]
    {
        Ok(())
    }
}

/// Some probe of those that a turn fires was enabled when somebody looked last.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Whether the probes of a turn are to be fired. To ask every one of them in every turn costs a twentieth of a
/// claim; so a tracer that comes sees the pools from the next [`look`] of any of them on.
#[inline(always)]
pub(crate) fn watched() -> bool {
    TRACEABLE && WATCHED.load(Ordering::Relaxed)
}

/// Looks whether any probe of a turn is enabled. A pool does so whenever it looks at the clock: a busy one with
/// one claim in 16 and ten times a second besides, another with every claim.
///
/// One that began before a tracer came may turn the flag off after another turned it on, until the next look.
#[inline]
pub(crate) fn look() {
    let enabled = TRACEABLE && is_any_enabled();
    if watched() != enabled {
        WATCHED.store(enabled, Ordering::Relaxed);
    }
}

/// Whether one of those is enabled that [`watched`] decides about: a test traces each of them alone.
#[inline(never)]
#[allow(clippy::diverging_sub_expression, unreachable_code, unused_variables, reason = "see `arguments`")]
fn is_any_enabled() -> bool {
    #[cfg(feature = "probes")]
    {
        qorb::claim__start!(arguments::<(&str, u64)>(return true));
        qorb::claim__done!(arguments::<(&str, u64, u64)>(return true));
        qorb::pool__claim__start!(arguments::<(&str, u64)>(return true));
        qorb::pool__claim__done!(arguments::<(&str, u64, u64)>(return true));
        qorb::slot__set__claim__start!(arguments::<(&str, u64, &str)>(return true));
        qorb::slot__set__claim__done!(arguments::<(&str, u64, u64)>(return true));
        qorb::slot__set__online!(arguments::<(&str, &str, u8)>(return true));
        qorb::slot__state__change!(arguments::<(&str, &str, u64, &str, &str, &str)>(return true));
        qorb::handle__claimed!(arguments::<(&str, u64, u64, &str)>(return true));
        qorb::handle__returned!(arguments::<(&str, u64)>(return true));
        qorb::recycle__start!(arguments::<(&str, u64, &str)>(return true));
        qorb::recycle__done!(arguments::<(&str, u64)>(return true));
        qorb::recycle__failed!(arguments::<(&str, u64, &str)>(return true));
    }
    false
}

/// In place of a probe's arguments, which it asks for when it is enabled: whoever only wants to know that has
/// left by then.
#[cfg(feature = "probes")]
fn arguments<T>(left: Infallible) -> fn() -> T {
    match left {}
}

/// A probe's semaphore is defined where the probe is fired. [`is_any_enabled`] reads these, so the places that fire
/// have to stay in every program, also where link-time optimisation finds that nobody calls them.
#[cfg(feature = "probes")]
#[allow(clippy::type_complexity, reason = "it lists functions")]
#[used]
static FIRED_BY: (
    [fn(&str, u64); 2],
    fn(&str, u64, u64),
    fn(&str, u64, &str),
    fn(&str, u64, Result<(), Failure>),
    fn(&str, &str, bool),
    fn(&str, u64, u64, &str, Option<SlotKind>, Asked, &dyn Fn() -> String),
) = (
    [show_claim_start, show_handle_returned],
    show_claim_done,
    show_recycle_start,
    show_recycle_ended,
    slot_set_online,
    granted,
);

#[inline(always)]
pub(crate) fn claim_start(pool: &str, claim: u64) {
    if watched() {
        show_claim_start(pool, claim);
    }
}

#[cold]
#[inline(never)]
pub(crate) fn show_claim_start(pool: &str, claim: u64) {
    fire!(claim__start, pool, claim);
    fire!(pool__claim__start, pool, claim);
}

#[inline(always)]
pub(crate) fn claim_done(pool: &str, claim: u64, slot: u64) {
    if watched() {
        show_claim_done(pool, claim, slot);
    }
}

#[cold]
#[inline(never)]
fn show_claim_done(pool: &str, claim: u64, slot: u64) {
    fire!(claim__done, pool, claim, slot);
}

#[inline(never)]
pub(crate) fn claim_failed(pool: &str, claim: u64, reason: &str) {
    fire!(claim__failed, pool, claim, reason);
}

#[inline(never)]
pub(crate) fn claim_acquire_failed(pool: &str, claim: u64, failure: Failure) {
    fire!(claim__acquire__failed, pool, claim, failure_name(failure));
}

/// The claim has to wait, and so many do.
#[inline(always)]
pub(crate) fn claim_queued(pool: &str, claim: u64, depth: u32) {
    fire!(pool__claim__failed, pool, claim);
    fire!(claim__queued, pool, claim, u64::from(depth));
}

#[inline(never)]
pub(crate) fn claim_cancelled(pool: &str, claim: u64) {
    fire!(claim__cancelled, pool, claim);
}

/// When a claim that is granted began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// Just now, and nobody was shown that.
    Just,
    /// Before.
    Before,
    /// Before, and it was shown that it has to wait.
    InVain,
}

/// A grant with everything that belongs to it, in order.
#[inline(never)]
pub(crate) fn granted(
    pool: &str,
    claim: u64,
    slot: u64,
    address: &str,
    from: Option<SlotKind>,
    asked: Asked,
    counts: &dyn Fn() -> String,
) {
    if asked == Asked::InVain {
        fire!(pool__claim__start, pool, claim);
    }
    fire!(slot__set__claim__start, pool, claim, address);
    slot_state_change(pool, address, slot, from, Some(SlotKind::Claimed), counts);
    fire!(handle__claimed, pool, claim, slot, address);
    fire!(slot__set__claim__done, pool, claim, slot);
    fire!(pool__claim__done, pool, claim, slot);
}

/// A grant was taken back before it was fetched.
#[inline(never)]
pub(crate) fn revoked(pool: &str, claim: u64) {
    fire!(slot__set__claim__failed, pool, claim, "Revoked");
}

#[inline(never)]
pub(crate) fn slot_set_online(pool: &str, address: &str, has_unclaimed: bool) {
    fire!(slot__set__online, pool, address, u8::from(has_unclaimed));
}

#[inline(never)]
pub(crate) fn slot_set_offline(pool: &str, address: &str) {
    fire!(slot__set__offline, pool, address);
}

#[inline(never)]
pub(crate) fn slot_state_change(
    pool: &str,
    address: &str,
    slot: u64,
    from: Option<SlotKind>,
    to: Option<SlotKind>,
    counts: &dyn Fn() -> String,
) {
    // Several states of ours may be one of the tracer's.
    if shown_as(from) != shown_as(to) {
        fire!(slot__state__change, pool, address, slot, state_name(from), state_name(to), counts());
    }
}

#[inline(always)]
pub(crate) fn handle_returned(pool: &str, slot: u64) {
    if watched() {
        show_handle_returned(pool, slot);
    }
}

#[cold]
#[inline(never)]
fn show_handle_returned(pool: &str, slot: u64) {
    fire!(handle__returned, pool, slot);
}

#[inline(never)]
pub(crate) fn connect_start(pool: &str, slot: u64, address: &str) {
    fire!(connect__start, pool, slot, address);
}

#[inline(never)]
pub(crate) fn connect_ended(pool: &str, slot: u64, address: &str, result: Result<(), Failure>) {
    match result {
        Ok(()) => fire!(connect__done, pool, slot, address),
        Err(failure) => fire!(connect__failed, pool, slot, address, failure_name(failure)),
    }
}

#[inline(never)]
pub(crate) fn health_check_start(pool: &str, slot: u64, address: &str) {
    fire!(health__check__start, pool, slot, address);
}

#[inline(never)]
pub(crate) fn health_check_ended(pool: &str, slot: u64, result: Result<(), Failure>) {
    match result {
        Ok(()) => fire!(health__check__done, pool, slot),
        Err(failure) => fire!(health__check__failed, pool, slot, failure_name(failure)),
    }
}

#[inline(always)]
pub(crate) fn recycle_start(pool: &str, slot: u64, address: &str) {
    if watched() {
        show_recycle_start(pool, slot, address);
    }
}

#[cold]
#[inline(never)]
fn show_recycle_start(pool: &str, slot: u64, address: &str) {
    fire!(recycle__start, pool, slot, address);
}

#[inline(always)]
pub(crate) fn recycle_ended(pool: &str, slot: u64, result: Result<(), Failure>) {
    if watched() {
        show_recycle_ended(pool, slot, result);
    }
}

#[cold]
#[inline(never)]
fn show_recycle_ended(pool: &str, slot: u64, result: Result<(), Failure>) {
    match result {
        Ok(()) => fire!(recycle__done, pool, slot),
        Err(failure) => fire!(recycle__failed, pool, slot, failure_name(failure)),
    }
}

/// A full plan was made; the machine needs no time for one.
#[inline(never)]
pub(crate) fn rebalanced(pool: &str) {
    fire!(rebalance__start, pool);
    fire!(rebalance__done, pool);
}

/// The state's number among those that tracers are shown.
#[inline]
fn shown_as(kind: Option<SlotKind>) -> u8 {
    match kind {
        Some(SlotKind::Connecting) => 0,
        Some(SlotKind::Unclaimed) => 1,
        Some(SlotKind::Checking) => 2,
        Some(SlotKind::Granted | SlotKind::Acquiring | SlotKind::Claimed) => 3,
        Some(SlotKind::Recycling) => 4,
        Some(SlotKind::Aborting | SlotKind::Closing) | None => 5,
    }
}

fn state_name(kind: Option<SlotKind>) -> &'static str {
    let names = [
        "Connecting",
        "ConnectedUnclaimed",
        "ConnectedChecking",
        "ConnectedClaimed",
        "ConnectedRecycling",
        "Terminated",
    ];
    names[usize::from(shown_as(kind))]
}

fn failure_name(failure: Failure) -> &'static str {
    match failure {
        Failure::Error => "Error",
        Failure::TimedOut => "TimedOut",
        Failure::Panicked => "Panicked",
        Failure::Aborted => "Aborted",
    }
}
