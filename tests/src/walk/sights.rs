//! What was met on walks: whatever may go wrong in a world has to happen in some of them.

use std::ops::AddAssign;
use std::time::Duration;

use qorb_core::pool::Policy;

/// Lists a kind of thing and all there is of it.
macro_rules! sights {
    ($($name:ident: $what:literal,)*) => {
        /// Something that a walk may meet.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Sight {
            $(#[doc = $what] $name,)*
        }

        impl Sight {
            /// Everything that there is to meet.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

sights! {
    Slow: "An operation took many times as long as others.",
    Refused: "An operation failed at once.",
    BlackHole: "An operation was never answered.",
    ClosedSoon: "An operation failed on a connection that had been accepted.",
    HalfOpen: "An operation was never answered on a connection that had been accepted.",
    Panicked: "An operation panicked.",
    TooLate: "An operation went well that was aborted.",
    FailedAnyway: "An operation failed of itself that was aborted.",
    Blocked: "A close did not end.",
    Flapped: "A backend left the set and was back.",
    Moved: "A backend was in the set at another address than before.",
    Revalued: "A backend's priority or weight changed.",
    Abandoned: "A claim was given up.",
    Parked: "A claim was not looked after for a long time.",
    Hasty: "A claim was now or never.",
    Patient: "A claim waited without end.",
    Pending: "An `on_acquire` took its time.",
    Rejected: "An `on_acquire` failed.",
    Recycled: "A connection had to be recycled.",
    Broken: "A connection came back broken.",
    Detached: "A connection was kept by its claimer.",
    Unfetched: "A grant came back without having been reported as fetched.",
    ClockWentBack: "The clock went back.",
    LateWake: "The alarm rang late.",
    IdleTick: "The alarm rang though nothing was due.",
    HealedForOne: "In the end one backend behaved and no other.",
    EndedEarly: "It was shut down in the middle of everything.",

    InstantBackoff: "A policy: back-off begins with a nanosecond.",
    FlatBackoff: "A policy: back-off does not grow.",
    NoSpread: "A policy: nothing is spread.",
    WideSpread: "A policy: a day is spread over.",
    NeverChecked: "A policy: no health check.",
    EndlessCheck: "A policy: checks take as long as they like.",
    InstantCheck: "A policy: checks have a nanosecond.",
    EndlessConnect: "A policy: connects take as long as they like.",
    InstantConnect: "A policy: connects have a nanosecond.",
    NeverRebalanced: "A policy: no rebalance.",
    EndlessPatience: "A policy: claims wait without end.",
    NoPatience: "A policy: claims are now or never.",
    InstantPatience: "A policy: claims wait for a nanosecond.",
    EndlessSlots: "A policy: any number of slots.",
    EndlessCount: "A policy: any number of slots of a backend.",
    EndlessSpares: "A policy: any number of spares.",
    NoSpares: "A policy: no spares.",
    NobodyWaits: "A policy: no claim may wait.",
    OneWaits: "A policy: one claim may wait.",
    EndlessQueue: "A policy: any number of claims may wait.",

    RuntimeGone: "The runtime went away.",
    PoolDropped: "The pool was dropped.",
    Terminated: "The pool was terminated.",
    Healed: "Everything worked again.",
    SameInstant: "Several timers were due at the same instant.",

    ResponseCode: "DNS: an answer was nothing but a response code.",
    Truncated: "DNS: an answer was truncated.",
    Lost: "DNS: an answer was lost.",
    Delayed: "DNS: an answer came after those to later questions.",
    Doubled: "DNS: bytes came before the answer that were none.",
    Hostile: "DNS: an answer had bytes of somebody's own.",
    Unreachable: "DNS: a datagram was refused.",
    ZeroTtl: "DNS: an answer was to be forgotten at once.",
    Subset: "DNS: an answer had some of the backends.",
    StreamCut: "DNS: a stream ended in the middle of an answer.",
    StreamHostile: "DNS: a stream had bytes of somebody's own.",
    StreamRefused: "DNS: a stream was refused.",
    StreamHung: "DNS: a stream was never opened.",
}

/// How often each was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sights([u64; Sight::ALL.len()]);

impl Sights {
    pub(super) fn meet(&mut self, sight: Sight) {
        self.0[sight as usize] += 1;
    }

    /// Meets it if that is so; says whether it is.
    pub(super) fn meet_if(&mut self, is_met: bool, sight: Sight) -> bool {
        self.0[sight as usize] += u64::from(is_met);
        is_met
    }

    /// Meets all that is extreme about a policy.
    pub(super) fn meet_policy(&mut self, policy: &Policy) {
        const NEVER: Duration = Duration::MAX;
        const INSTANT: Duration = Duration::from_nanos(1);
        let set = &policy.set_config;
        let all = [
            (set.min_connection_backoff == INSTANT, Sight::InstantBackoff),
            (set.min_connection_backoff == set.max_connection_backoff, Sight::FlatBackoff),
            (set.spread == Duration::ZERO, Sight::NoSpread),
            (set.spread >= Duration::from_secs(86_400), Sight::WideSpread),
            (set.health_interval == NEVER, Sight::NeverChecked),
            (set.health_check_timeout == NEVER, Sight::EndlessCheck),
            (set.health_check_timeout == INSTANT, Sight::InstantCheck),
            (set.connect_timeout == NEVER, Sight::EndlessConnect),
            (set.connect_timeout == INSTANT, Sight::InstantConnect),
            (policy.rebalance_interval == NEVER, Sight::NeverRebalanced),
            (policy.claim_timeout == NEVER, Sight::EndlessPatience),
            (policy.claim_timeout == Duration::ZERO, Sight::NoPatience),
            (policy.claim_timeout == INSTANT, Sight::InstantPatience),
            (policy.max_slots == usize::MAX, Sight::EndlessSlots),
            (set.max_count == usize::MAX, Sight::EndlessCount),
            (policy.spares_wanted == usize::MAX, Sight::EndlessSpares),
            (policy.spares_wanted == 0, Sight::NoSpares),
            (policy.max_waiting == 0, Sight::NobodyWaits),
            (policy.max_waiting == 1, Sight::OneWaits),
            (policy.max_waiting == usize::MAX, Sight::EndlessQueue),
        ];
        for (is_so, sight) in all {
            self.meet_if(is_so, sight);
        }
    }

    /// How often this was met.
    #[must_use]
    pub fn of(&self, sight: Sight) -> u64 {
        self.0[sight as usize]
    }
}

impl Default for Sights {
    fn default() -> Self {
        Self([0; Sight::ALL.len()])
    }
}

impl AddAssign for Sights {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }
}
