//! Programs that show what their pool is doing.
#![allow(clippy::print_stderr, reason = "it is a program's")]

use std::io;
use std::net::SocketAddr;

use qorb_driver::{Connector, Pool, Serve, StatsServer};

use crate::load::describe;
use crate::options::say;

/// Shows `pool` at `address` until what is returned is dropped, and says where. Where that cannot be, it says why
/// on standard error: no program stops for want of onlookers.
///
/// # Errors
///
/// Standard output cannot be written to.
pub async fn serve<K: Connector, R: Serve>(
    pool: &Pool<K, R>,
    address: SocketAddr,
) -> io::Result<Option<StatsServer<R>>> {
    match StatsServer::bind(address).await {
        Ok(server) => {
            server.add(pool);
            say(&format!("stats: http://{0} or ws://{0}/qtop/stats", server.local_addr()))?;
            Ok(Some(server))
        }
        Err(error) => {
            eprintln!("error: {}", describe(&error));
            Ok(None)
        }
    }
}
