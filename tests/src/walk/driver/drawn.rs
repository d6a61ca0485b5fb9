//! What is drawn for a world of the driver before it begins: a policy and a resolver's configuration, with their
//! share of extremes.

use std::time::Duration;

use qorb_core::dice::Dice;
use qorb_core::dns;
use qorb_driver::{DnsResolverConfig, Policy, SetConfig};

const NEVER: Duration = Duration::MAX;
const INSTANT: Duration = Duration::from_nanos(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Once in so many times something is extreme.
const EXTREME: u64 = 12;

/// So many milliseconds, or something extreme.
fn span(dice: &mut Dice, least: u64, most: u64, extremes: &[Duration]) -> Duration {
    if dice.below(EXTREME) == 0 {
        extremes[dice.below(extremes.len() as u64) as usize]
    } else {
        Duration::from_millis(least + dice.below(most))
    }
}

/// A policy. What is dialled again after a nanosecond for ever would stop the clock, and so would a check.
pub(super) fn policy(dice: &mut Dice) -> Policy {
    let slots = 1 + dice.below(8) as usize;
    let spares = dice.below(6) as usize;
    let (max_slots, spares_wanted) = match dice.below(EXTREME) {
        0 => (usize::MAX, spares),
        1 => (slots, usize::MAX),
        _ => (slots, spares),
    };
    let max_waiting = match dice.below(EXTREME) {
        0 => 0,
        1 => 1,
        2 => usize::MAX,
        3 | 4 => 2,
        _ => 1_000,
    };
    let max_count = if dice.below(EXTREME) == 0 { usize::MAX } else { 1 + dice.below(8) as usize };
    let min_connection_backoff = span(dice, 20, 1, &[INSTANT]);
    let longest = Duration::from_millis(20 + dice.below(1_000));
    let is_flat = dice.below(EXTREME) == 0 && min_connection_backoff != INSTANT;
    Policy {
        spares_wanted,
        max_slots,
        rebalance_interval: span(dice, 1_000, 5_000, &[NEVER]),
        claim_timeout: span(dice, 1, 10_000, &[NEVER, INSTANT, Duration::ZERO]),
        max_waiting,
        set_config: SetConfig {
            max_count,
            min_connection_backoff,
            max_connection_backoff: if is_flat { min_connection_backoff } else { longest },
            spread: span(dice, 1, 40, &[Duration::ZERO, DAY]),
            health_interval: span(dice, 200, 5_000, &[NEVER]),
            health_check_timeout: span(dice, 50, 500, &[NEVER, INSTANT]),
            connect_timeout: span(dice, 50, 2_000, &[NEVER, INSTANT]),
        },
    }
}

/// A configuration in which no lie is believed for longer than a walk goes on after the last one.
pub(super) fn config(dice: &mut Dice) -> DnsResolverConfig {
    let secs = |count: u64| Duration::from_secs(count);
    let default = DnsResolverConfig::default();
    if dice.below(3) == 0 {
        return default;
    }
    DnsResolverConfig {
        max_dns_concurrency: 1 + dice.below(3) as usize,
        query_interval: secs(1 + dice.below(60)),
        query_retry_if_no_records_found: secs(1 + dice.below(10)),
        // A lookup without end never ends where a server is silent, and one of a nanosecond never does well.
        query_timeout: span(dice, 1_000, 10_000, &[secs(20)]),
        hardcoded_ttl: [None, Some(Duration::ZERO), Some(secs(30))][dice.below(3) as usize],
        attempt_timeout: span(dice, 50, 1_000, &[NEVER]),
        attempts: 1 + dice.below(5) as u8,
        min_query_interval: secs(1 + dice.below(5)),
        stale: if dice.below(2) == 0 { default.stale } else { dns::StalePolicy::KeepFor(secs(30)) },
        negative_confirmations: dice.below(4) as u32,
        removal_hold: [Duration::ZERO, secs(20)][dice.below(2) as usize],
        addresses: [dns::Addresses::Both, dns::Addresses::V4Only][dice.below(2) as usize],
        edns_payload: [None, Some(512), Some(1232)][dice.below(3) as usize],
        trust_additional: dice.below(2) == 0,
        transport: [dns::Transport::UdpThenTcp, dns::Transport::TcpOnly][dice.below(2) as usize],
        max_inflight_per_server: 1 + dice.below(16) as usize,
        jitter_percent: dice.below(101) as u8,
        ..default
    }
}
