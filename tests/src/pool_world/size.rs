//! How large a world of the pool is, and what may happen in it.

use std::time::Duration;

use qorb_core::pool::{Pace, Policy, SetConfig};

use super::UNIT;

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Backends that may be in the set.
    pub backends: u16,
    /// `max_slots`.
    pub slots: usize,
    /// `max_count`.
    pub slots_of_one: usize,
    /// Claims that may be outstanding, held ones included.
    pub claims: usize,
    /// `max_waiting`.
    pub max_waiting: usize,
    /// How often `on_acquire` may fail for one claim.
    pub tries: u8,
    /// `spares_wanted`.
    pub spares: usize,
    /// `connect_timeout`, in steps of time: patience is one, and with more of them it ends connects early.
    pub connect_timeout: u8,
    /// States are told apart that differ in the numbers of their slots alone.
    ///
    /// Of two timers that ring together, that of the lower number is the first, and it may be the only one
    /// whose connection is checked. So without, a state may stand for one that behaves otherwise on a tick, and
    /// its ticks are not compared; with it nothing is left out, and there are as many states again for two
    /// slots, and six times as many for three.
    pub numbered: bool,
    /// One of so many steps is taken twice (C1), and with a clock that went back (C8).
    pub repeated: u64,
}

/// What may happen in a world besides claims that come, are fetched, cancelled and returned, operations
/// that end well or badly, and time that passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freedom {
    /// The resolver publishes any set at any time; otherwise all backends once, at the start.
    pub membership: bool,
    /// `on_acquire` pends and fails.
    pub acquire: bool,
    /// The pool is shut down.
    pub shutdown: bool,
    /// Claims may give up waiting; otherwise only "now or never" ones do.
    pub deadlines: bool,
    /// Claims may be "now or never".
    pub hasty: bool,
    /// Every backend is a tier of its own, and the resolver may turn their order round.
    pub tiers: bool,
    /// The first backend moves: the resolver finds its name at another address, and back again.
    pub moves: bool,
}

impl Freedom {
    /// Everything may happen, to backends of one tier that stay where they are.
    pub const ALL: Self = Self {
        membership: true,
        acquire: true,
        shutdown: true,
        deadlines: true,
        hasty: true,
        tiers: false,
        moves: false,
    };
    /// Nothing of it happens.
    pub const NONE: Self = Self {
        membership: false,
        acquire: false,
        shutdown: false,
        deadlines: false,
        hasty: false,
        tiers: false,
        moves: false,
    };
}

impl Size {
    /// A policy in which every time-out plays a part and takes one step of time, but for that of a connect, so
    /// that the world stays finite.
    pub(super) fn policy(self) -> Policy {
        Policy {
            spares_wanted: self.spares,
            max_slots: self.slots,
            rebalance_interval: UNIT,
            claim_timeout: UNIT,
            max_waiting: self.max_waiting,
            set_config: SetConfig {
                max_count: self.slots_of_one,
                min_connection_backoff: UNIT,
                max_connection_backoff: UNIT,
                spread: Duration::ZERO,
                health_interval: UNIT,
                health_check_timeout: UNIT,
                connect_timeout: UNIT * u32::from(self.connect_timeout),
            },
        }
    }

    /// A pace in which all that no policy names takes one step of time too.
    pub(super) fn pace(self) -> Pace {
        Pace {
            fetch_timeout: UNIT,
            early: UNIT,
            patience: UNIT,
            probe_room_pause: UNIT,
            acquire_tries: self.tries,
        }
    }

    /// Whether this happens somewhere in every such world. Where that is in doubt it does not.
    pub(super) fn has(self, freedom: Freedom, name: &str) -> bool {
        let room = self.slots.min(usize::from(self.backends) * self.slots_of_one);
        let others = usize::from(self.backends - 1) * self.slots_of_one;
        match name {
            // The only connection that nobody wants is shed before it is checked.
            "a check runs" => self.spares > 0 || room > 1,
            "two newcomers wait, and the first is granted" => self.claims.min(self.max_waiting) > 1,
            "a claim is denied for too many waiting" => self.claims > self.max_waiting,
            // A connect stands in the way of a backend for which there is no other slot.
            "patience ends a connect" => usize::from(self.backends) > self.slots && self.connect_timeout > 1,
            "a claim is denied for want of backends" => freedom.hasty && freedom.membership,
            "a claim is denied for want of a connection"
            | "a claim is denied while a connection is checked" => freedom.hasty,
            "a claim is denied for others that use all" => freedom.hasty && self.claims > 1,
            "a claim is denied for on_acquire" => freedom.acquire,
            "on_acquire is told to give up" => freedom.acquire && freedom.hasty,
            "a backend returns while its connection is held" => freedom.membership,
            "a backend moves while a connection is held" => freedom.moves,
            "shutdown denies a waiting claim"
            | "a claim comes after the end"
            | "the pool stops with a handle out" => freedom.shutdown,
            "a close is pending while another slot connects" => room > 1,
            "the tick sheds a connection" => room > 1 && self.spares > 0,
            // All slots are full without one of the backends.
            "a slot is moved at the cap" => room > 1 && others >= self.slots && self.spares > 0,
            "a claim is granted by a tier behind the first" => freedom.tiers && self.backends > 1,
            "a tier that is closed gives up a connection" => {
                freedom.tiers && self.backends > 1 && room > 1 && self.spares > 0
            }
            // It has one connection in use and one at rest, a sound one is in use too, and somebody waits.
            "a suspect is passed over" => {
                self.slots.min(self.claims) > 2 && self.slots_of_one > 1 && self.backends > 1
            }
            _ => true,
        }
    }
}
