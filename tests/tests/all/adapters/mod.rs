//! The workout of the two adapters: real sockets on loopback, every test on both runtimes.

mod connections;
mod ending;
mod hostile;
mod names;
mod outage;
mod race;
mod surface;

use std::fmt::Debug;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use qorb_driver::{FixedResolver, Handle, Policy, Pool, Runtime};
use qorb_examples::{EchoServer, Platform};

/// Makes a test on each runtime of each of these functions.
macro_rules! on_both_runtimes {
    ($($name:ident),+ $(,)?) => {
        mod on_tokio {
            $(#[test]
            fn $name() {
                super::$name::<qorb_examples::OnTokio>();
            })+
        }
        mod on_smol {
            $(#[test]
            fn $name() {
                super::$name::<qorb_examples::OnSmol>();
            })+
        }
    };
}
pub(crate) use on_both_runtimes;

/// Longer than anything here takes, even where a test shares its processor with many.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(5);
/// Any free port.
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) type PoolOn<P> = Pool<<P as Platform>::Tcp, <P as Platform>::Runtime>;
type HandleOn<P> = Handle<<P as Platform>::Tcp, <P as Platform>::Runtime>;

/// Runs a test in its runtime, not for ever.
pub(crate) fn run<P: Platform, T>(test: impl Future<Output = T>) -> T {
    P::run(within::<P, _>("the test", PATIENCE * 2, test)).expect("a runtime starts")
}

/// What comes of `future`, which must not take longer than `span`.
pub(crate) async fn within<P: Platform, T>(what: &str, span: Duration, future: impl Future<Output = T>) -> T {
    let runtime = runtime::<P>();
    let late = async {
        P::pause(&runtime, span).await;
        panic!("{what} took longer than {span:?}");
    };
    smol::future::or(future, late).await
}

/// Waits until it is so.
pub(crate) async fn until<P: Platform>(what: &str, mut is_so: impl FnMut() -> bool) {
    let runtime = runtime::<P>();
    let end = runtime.now().after(PATIENCE);
    while !is_so() {
        assert!(runtime.now() < end, "in {PATIENCE:?} it did not come about that {what}");
        P::pause(&runtime, GLANCE).await;
    }
}

pub(crate) fn runtime<P: Platform>() -> P::Runtime {
    P::Runtime::current().expect("the test runs in it")
}

/// A pool of the servers at these addresses.
pub(crate) fn pool_of<P: Platform>(servers: &[&EchoServer], change: impl FnOnce(&mut Policy)) -> PoolOn<P> {
    let mut policy = Policy::default();
    change(&mut policy);
    let resolver = FixedResolver::new(servers.iter().map(|server| server.address()));
    Pool::new("workout", resolver, P::Tcp::default(), policy).expect("a policy that works, in a runtime")
}

pub(crate) fn echo_server() -> EchoServer {
    EchoServer::start(ANY).expect("there is a free port")
}

/// Brings a server back, whoever holds its port for the moment.
async fn revive<P: Platform, E: Debug>(mut attempt: impl FnMut() -> Result<(), E>) {
    until::<P>("the port is free again", || attempt().is_ok()).await;
}

pub(crate) fn unclaimed<P: Platform>(pool: &PoolOn<P>) -> usize {
    pool.stats().backends.iter().map(|backend| backend.unclaimed_slots).sum()
}

pub(crate) fn claimed<P: Platform>(pool: &PoolOn<P>) -> usize {
    pool.stats().backends.iter().map(|backend| backend.claimed_slots).sum()
}

fn is_online<P: Platform>(pool: &PoolOn<P>) -> bool {
    pool.stats().backends.iter().any(|backend| backend.online)
}
