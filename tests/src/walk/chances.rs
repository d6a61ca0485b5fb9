//! What may happen in a world, and how often: drawn per world, most of it absent from most of them.
//!
//! Worlds that all have a little of everything look alike; faults meet in worlds that lack the others
//! ("Swarm testing", Groce et al., ISSTA 2012).

use std::time::Duration;

use qorb_core::dice::Dice;
use qorb_core::pool::{Policy, SetConfig};

/// One in so many; never where it is 0.
pub(super) type OneIn = u64;

/// All that is drawn for a world before it begins.
#[derive(Clone, Debug)]
pub(super) struct Chances {
    pub(super) policy: Policy,
    pub(super) backends: u16,
    pub(super) claimers: u32,
    /// How long it goes on before it calms down, in events.
    pub(super) events: u64,
    /// It calms down for one backend alone; the others answer nothing.
    pub(super) only_one_heals: bool,
    /// It is shut down in the middle of everything.
    pub(super) ends_early: bool,
    /// How long the longest operation of a backend takes that works.
    pub(super) latency: Duration,
    /// How long claimers stay away, and how long they hold what they got, at most.
    pub(super) away: Duration,
    pub(super) hold: Duration,
    /// How often a backend changes its manner, at most this long apart.
    pub(super) weather: Duration,
    /// The manners that a backend may take on.
    pub(super) manners: Vec<Manner>,
    /// How much slower a slow backend is.
    pub(super) slowness: u32,
    /// How often the set of backends changes, at most this long apart.
    pub(super) membership: Duration,
    /// How many tiers there may be, and how heavy a backend.
    pub(super) tiers: u16,
    pub(super) heaviest: u16,
    pub(super) odds: Odds,
}

/// How a backend behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    Works,
    Slow,
    /// Everything fails at once.
    Refuses,
    /// Nothing is ever answered.
    BlackHole,
    /// Connects succeed, and nothing after them.
    ClosesSoon,
    /// Connects succeed, and nothing after them is answered.
    HalfOpen,
}

/// How often something odd happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odds {
    /// An operation panics.
    pub(super) panics: OneIn,
    /// An operation that was aborted succeeds all the same.
    pub(super) too_late: OneIn,
    /// A close blocks until the world calms down.
    pub(super) blocks: OneIn,
    /// A claim is dropped while it waits, or after it was granted.
    pub(super) abandons: OneIn,
    /// A claim is polled once and then not for a long time.
    pub(super) parks: OneIn,
    /// A claim is "now or never".
    pub(super) hasty: OneIn,
    /// A claim waits without end.
    pub(super) patient: OneIn,
    /// `on_acquire` does not finish at once.
    pub(super) pends: OneIn,
    /// `on_acquire` fails.
    pub(super) rejects: OneIn,
    /// A return has to be recycled.
    pub(super) recycles: OneIn,
    /// A return is broken.
    pub(super) breaks: OneIn,
    /// A connection is kept.
    pub(super) detaches: OneIn,
    /// A grant comes back without having been reported as fetched.
    pub(super) skips_fetch: OneIn,
    /// The clock that the machine is told has gone back.
    pub(super) clock_skews: OneIn,
    /// The alarm rings late.
    pub(super) alarm_lags: OneIn,
    /// A tick comes though nothing is due.
    pub(super) idle_ticks: OneIn,
    /// A backend's priority and weight are drawn anew when the set changes.
    pub(super) revalues: OneIn,
    /// A backend has another address when the set changes.
    pub(super) moves: OneIn,
    /// An operation that was aborted fails of itself before it learns of that.
    pub(super) fails_anyway: OneIn,
}

impl Chances {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let small = one_in(dice, 8);
        let backends = if small { 1 + dice.below(3) } else { log_below(dice, 64) } as u16;
        let slots = if small { 1 + dice.below(4) } else { log_below(dice, 256) } as usize;
        let policy = policy(dice, slots);
        let crowd = if policy.max_slots > slots { 200 } else { 1000 };
        let claimers = if small { 1 + dice.below(6) } else { log_below(dice, crowd) } as u32;
        let all = [Manner::Slow, Manner::Refuses, Manner::BlackHole, Manner::ClosesSoon, Manner::HalfOpen];
        let mut manners: Vec<_> = all.into_iter().filter(|_| one_in(dice, 3)).collect();
        // A world of nothing but trouble shows little.
        let working = 1 + dice.below(4) as usize;
        manners.extend([Manner::Works; 4].into_iter().take(working));
        let weather = [20, 500, 20_000][dice.below(3) as usize];
        let membership = [10, 1_000, 60_000][dice.below(3) as usize];
        Self {
            policy,
            backends,
            claimers,
            events: 500 + dice.below(6_000),
            only_one_heals: one_in(dice, 4),
            ends_early: one_in(dice, 4),
            latency: millis(log_below(dice, 50)),
            away: millis(log_below(dice, 200)),
            hold: millis(log_below(dice, 100)),
            weather: millis(weather),
            manners,
            slowness: 2 + dice.below(50) as u32,
            membership: millis(membership),
            odds: Odds::draw(dice),
            tiers: if one_in(dice, 2) { 1 } else { 1 + log_below(dice, 4) as u16 },
            heaviest: if one_in(dice, 2) { 0 } else { log_below(dice, 65_535) as u16 },
        }
    }
}

impl Odds {
    fn draw(dice: &mut Dice) -> Self {
        // Of dice of their own: a world without these is the same as if there were no such thing.
        let mut rare = dice.fork(1);
        let [moves, fails_anyway] = [5, 10].map(|most| odds(&mut rare, most));
        let mut odds = |most| odds(dice, most);
        Self {
            panics: odds(100),
            too_late: odds(10),
            blocks: odds(100),
            abandons: odds(20),
            parks: odds(50),
            hasty: odds(10),
            patient: odds(5),
            pends: odds(10),
            rejects: odds(30),
            recycles: odds(10),
            breaks: odds(100),
            detaches: odds(100),
            skips_fetch: odds(10),
            clock_skews: odds(20),
            alarm_lags: odds(5),
            idle_ticks: odds(50),
            revalues: odds(5),
            moves,
            fails_anyway,
        }
    }
}

/// One in a number up to this, or never.
fn odds(dice: &mut Dice, most: u64) -> OneIn {
    if one_in(dice, 2) { 0 } else { 1 + log_below(dice, most) }
}

/// A policy with its share of extremes; `Duration::MAX` is "never" and 0 is nothing at all. Intervals alone
/// are not of a nanosecond: a second of such a world is a thousand million ticks.
fn policy(dice: &mut Dice, slots: usize) -> Policy {
    let mut span = |least: u64, most: u64, extreme: &[Duration]| match dice.below(16) {
        0 if !extreme.is_empty() => extreme[dice.below(extreme.len() as u64) as usize],
        _ => millis(least + log_below(dice, most)),
    };
    let never = [Duration::MAX];
    let extreme = [Duration::MAX, Duration::from_nanos(1)];
    let min_connection_backoff = span(0, 1_000, &[Duration::from_nanos(1)]);
    let set_config = SetConfig {
        max_count: usize::MAX,
        min_connection_backoff,
        max_connection_backoff: min_connection_backoff + span(0, 30_000, &[Duration::ZERO]),
        spread: span(0, 100, &[Duration::ZERO, Duration::from_secs(86_400)]),
        health_interval: span(1, 30_000, &never),
        health_check_timeout: span(1, 3_000, &extreme),
        connect_timeout: span(1, 10_000, &extreme),
    };
    let rebalance_interval = span(1, 60_000, &never);
    let claim_timeout = span(1, 30_000, &[Duration::MAX, Duration::ZERO, Duration::from_nanos(1)]);
    let (max_slots, spares_wanted) = match dice.below(16) {
        0 => (usize::MAX, dice.below(64) as usize),
        1 => (slots, usize::MAX),
        2 => (slots, 0),
        _ => (slots, log_below(dice, slots as u64) as usize),
    };
    let max_waiting = match dice.below(8) {
        0 => 0,
        1 => 1,
        2 => log_below(dice, 100) as usize,
        _ => usize::MAX,
    };
    let max_count = if one_in(dice, 4) { usize::MAX } else { log_below(dice, slots as u64) as usize };
    let set_config = SetConfig { max_count, ..set_config };
    Policy { spares_wanted, max_slots, rebalance_interval, claim_timeout, max_waiting, set_config }
}

pub(super) fn one_in(dice: &mut Dice, chances: OneIn) -> bool {
    chances != 0 && dice.below(chances) == 0
}

/// A number in `1..=most`, the small ones as likely as the large ones.
fn log_below(dice: &mut Dice, most: u64) -> u64 {
    let bits = u64::from(most.ilog2()) + 1;
    let bound = 1 << dice.below(bits + 1);
    1 + dice.below(most.min(bound))
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
