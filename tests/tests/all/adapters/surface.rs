//! What the adapters offer, and where they refuse.

use std::sync::Mutex;
use std::{io, mem, thread};

use qorb_driver::{Backend, Connector, FixedResolver, Policy, PoolError, Runtime};
use qorb_examples::{Exchange, OnTokio};
use tokio::runtime::{Handle, Id};

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

/// The runtimes that recycles found, whenever they looked.
static FOUND: Mutex<Vec<Option<Id>>> = Mutex::new(Vec::new());

fn look_for_a_runtime() {
    let found = Handle::try_current().ok().map(|runtime| runtime.id());
    FOUND.lock().expect("nobody panics with it").push(found);
}

/// Looks for a runtime when it is told to recycle, and when that is polled, with a future that holds so many bytes.
struct Looking<const HELD: usize>;

impl<const HELD: usize> Connector for Looking<HELD> {
    type Connection = ();
    type Error = io::Error;

    async fn connect(&self, _: &Backend) -> io::Result<()> {
        Ok(())
    }

    fn on_recycle(&self, (): &mut ()) -> impl Future<Output = io::Result<()>> {
        look_for_a_runtime();
        let held = [0_u8; HELD];
        async move {
            look_for_a_runtime();
            std::hint::black_box(held);
            Ok(())
        }
    }
}

fn drop_handles_anywhere<const HELD: usize>() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("it starts");
    let resolver = FixedResolver::new([ANY]);
    let make = async { qorb_tokio::Pool::new("away", resolver, Looking::<HELD>, Policy::default()) };
    let pool = runtime.block_on(make).expect("a policy that works");
    let claim = || runtime.block_on(pool.claim()).expect("it connects to nobody");
    drop(claim());
    let (on_a_thread, in_a_task) = (claim(), claim());
    thread::scope(|scope| scope.spawn(move || drop(on_a_thread)).join()).expect("no panic");
    runtime.block_on(runtime.spawn(async move { drop(in_a_task) })).expect("no panic");
    let found = mem::take(&mut *FOUND.lock().expect("nobody panics with it"));
    assert_eq!(found, [Some(runtime.handle().id()); 6], "three were called and polled");
}

#[test]
fn a_handle_that_is_dropped_anywhere_is_recycled_in_a_runtime() {
    drop_handles_anywhere::<0>();
    drop_handles_anywhere::<64>();
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
