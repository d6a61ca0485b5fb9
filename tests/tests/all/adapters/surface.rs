//! What the adapters offer, and where they refuse.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use qorb_driver::{FixedResolver, Policy, PoolError, Runtime};
use qorb_examples::{Exchange, OnTokio};

use super::{ANY, echo_server, run};

/// The lines of a source file that are code.
fn code(source: &str) -> Vec<&str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).collect()
}

#[test]
fn both_adapters_offer_the_same_names() {
    let on_tokio = include_str!("../../../../runtime-tokio/src/lib.rs");
    let on_smol = include_str!("../../../../runtime-smol/src/lib.rs").replace("Smol", "Tokio");
    let (mut on_tokio, mut on_smol) = (code(on_tokio), code(&on_smol));
    // The name of the runtime itself sorts where it may.
    on_tokio.sort_unstable();
    on_smol.sort_unstable();
    assert_eq!(on_tokio, on_smol);
}

#[test]
fn both_connectors_are_the_same_but_for_their_stream() {
    let on_tokio = include_str!("../../../../runtime-tokio/src/connector.rs");
    let on_smol = include_str!("../../../../runtime-smol/src/connector.rs");
    let but_streams = |source| -> Vec<_> {
        let lines = code(source).into_iter();
        lines.filter(|line| !line.ends_with("::net::TcpStream;")).collect()
    };
    assert_eq!(but_streams(on_tokio), but_streams(on_smol));
}

#[test]
fn a_pool_on_tokio_is_refused_where_tokio_is_not_running() {
    use qorb_tokio::{Pool, TcpConnector};
    let make = || Pool::new("nowhere", FixedResolver::new([ANY]), TcpConnector::default(), Policy::default());
    let error = make().expect_err("tokio is not running here");
    assert!(matches!(error, PoolError::NoRuntime(_)), "{error}");
    assert!(error.to_string().contains("make the pool inside one"), "{error}");

    let timeless = tokio::runtime::Builder::new_current_thread().build().expect("it starts");
    let error = timeless.block_on(async { make() }).expect_err("this runtime has no timers");
    assert!(matches!(error, PoolError::NoRuntime(_)), "{error}");
}

#[test]
fn a_tokio_runtime_without_io_says_so_instead_of_panicking() {
    use qorb_tokio::TokioRuntime;
    let server = echo_server();
    let deaf = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("it starts");
    deaf.block_on(async {
        let runtime = TokioRuntime::current().expect("it has timers");
        let error = runtime.udp(server.address()).await.expect_err("it has no I/O");
        assert!(error.to_string().contains("enable_io"), "{error}");
        let error = runtime.tcp(server.address()).await.expect_err("it has no I/O");
        assert!(error.to_string().contains("enable_io"), "{error}");
    });
}

#[test]
fn a_pool_on_tokio_may_be_made_outside_for_a_runtime_that_is_named() {
    use qorb_tokio::{Pool, TcpConnector, TokioRuntime};
    let server = echo_server();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("it starts");
    let resolver = FixedResolver::new([server.address()]);
    let named = TokioRuntime::from(runtime.handle().clone());
    let pool = Pool::new_in(named, "named", resolver, TcpConnector::default(), Policy::default());
    let pool = pool.expect("a policy that works");
    let mut handle = runtime.block_on(pool.claim()).expect("there is a server");
    runtime.block_on(handle.exchange(b"hello")).expect("the server echoes");
}

#[test]
fn a_handle_that_is_dropped_anywhere_is_recycled_in_the_pool_s_runtime() {
    use qorb_tokio::{Backend, Connector, Pool};
    use tokio::runtime::Handle;

    /// Recycles that found a runtime.
    static RECYCLED: AtomicU32 = AtomicU32::new(0);

    struct Counting;

    impl Connector for Counting {
        type Connection = ();
        type Error = io::Error;

        async fn connect(&self, _: &Backend) -> io::Result<()> {
            Ok(())
        }

        /// By default it is what a recycle does too. Nothing is captured: such a future is polled on the spot.
        #[allow(clippy::manual_async_fn, reason = "an async fn captures its arguments")]
        fn is_valid(&self, (): &mut ()) -> impl Future<Output = io::Result<()>> {
            async {
                Handle::try_current().map_err(io::Error::other)?;
                RECYCLED.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("it starts");
    let make = async { Pool::new("away", FixedResolver::new([ANY]), Counting, Policy::default()) };
    let pool = runtime.block_on(make).expect("a policy that works");
    for recycled in 1..=3 {
        drop(runtime.block_on(pool.claim()).expect("it connects to nobody"));
        assert_eq!(RECYCLED.load(Ordering::Relaxed), recycled);
    }
    assert_eq!(pool.stats().failures, 0);
}

#[test]
fn a_pool_on_smol_may_be_made_anywhere() {
    use qorb_smol::{Pool, TcpConnector};
    let server = echo_server();
    let resolver = FixedResolver::new([server.address()]);
    let pool = Pool::new("anywhere", resolver, TcpConnector::default(), Policy::default());
    let pool = pool.expect("smol is always there");
    // Not even the claimer needs smol; it is polled inside another runtime here.
    run::<OnTokio, _>(async {
        let mut handle = pool.claim().await.expect("there is a server");
        handle.exchange(b"hello").await.expect("the server echoes");
    });
}
