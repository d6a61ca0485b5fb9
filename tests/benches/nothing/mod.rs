//! A pool of connections that do nothing, so that what a claim costs is all there is to measure.

use std::convert::Infallible;

use qorb_tokio::{Backend, Connector, FixedResolver, Policy, Pool};

pub(crate) const SLOTS: usize = 16;

/// Connects at once, to nothing.
pub(crate) struct Nothing;

impl Connector for Nothing {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self, _: &Backend) -> Result<u64, Infallible> {
        Ok(7)
    }
}

/// A pool whose connections all stand.
pub(crate) async fn pool() -> Pool<Nothing> {
    let policy = Policy { spares_wanted: SLOTS, max_slots: SLOTS, ..Policy::default() };
    let resolver = FixedResolver::new([([127, 0, 0, 1], 1).into()]);
    let pool = Pool::new("bench", resolver, Nothing, policy).expect("a valid policy");
    pool.wait_ready(SLOTS).await.expect("connected");
    pool
}
