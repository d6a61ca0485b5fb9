//! The resolver machine, rule by rule.

mod discovery;
mod explore;
mod hostile;
mod limits;
mod named;
mod reading;
mod rounds;
mod schedules;
mod servers;
mod transport;

use std::net::SocketAddr;
use std::time::Duration;

use qorb_core::dns::Config;
use qorb_tests::dns_world::{World, Zone};

/// The first server of a world.
pub(crate) const ONE: SocketAddr = server(1);
/// The second.
pub(crate) const TWO: SocketAddr = server(2);
/// The third.
pub(crate) const THREE: SocketAddr = server(3);

const fn server(number: u8) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, number)), 53)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Rounds come exactly when due, and only IPv6 is asked for: one question per target.
pub(crate) fn plain() -> Config {
    Config { jitter_percent: 0, addresses: qorb_core::dns::Addresses::V6Only, ..Config::default() }
}

/// A resolver and one server that knows `zone`.
fn world_of(zone: Zone) -> World {
    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, zone.server());
    world
}
