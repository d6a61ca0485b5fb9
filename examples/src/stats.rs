//! Programs that show what their pool is doing.
#![allow(clippy::print_stderr, reason = "it is a program's")]

use std::net::SocketAddr;

use qorb_driver::{Connector, Pool, Serve, StatsServer};

use crate::load::describe;

/// Shows `pool` at `address` until what is returned is dropped. Where that cannot be, it says why on standard
/// error: no program stops for want of onlookers.
pub async fn serve<K: Connector, R: Serve>(pool: &Pool<K, R>, address: SocketAddr) -> Option<StatsServer<R>> {
    match StatsServer::bind(address).await {
        Ok(server) => {
            server.add(pool);
            eprintln!("stats: http://{0} or ws://{0}/qtop/stats", server.local_addr());
            Some(server)
        }
        Err(error) => {
            eprintln!("error: {}", describe(&error));
            None
        }
    }
}
