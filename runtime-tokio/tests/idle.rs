//! A program that makes a pool and never claims. All that the pool refers to has to be in it, also after link-time
//! optimisation, with which `.ci/run` builds it.

use std::convert::Infallible;

use qorb_tokio::{Backend, Connector, FixedResolver, Policy, Pool};
use tokio::runtime::Builder;

struct Nothing;

impl Connector for Nothing {
    type Connection = ();
    type Error = Infallible;

    async fn connect(&self, _: &Backend) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn a_pool_that_nobody_claims_from_comes_and_goes() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("there is room");
    runtime.block_on(async {
        let resolver = FixedResolver::new([([127, 0, 0, 1], 1).into()]);
        let pool = Pool::new("idle", resolver, Nothing, Policy::default()).expect("there is a runtime");
        pool.wait_ready(1).await.expect("it connects");
        pool.terminate().await;
    });
}
