//! What differs between tokio and smol for a program that runs on either.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use qorb_driver::{Connector, Runtime};
use qorb_smol::SmolRuntime;
use qorb_tokio::TokioRuntime;

use crate::exchange::Exchange;

// A runtime that can also be listened on, where a program shows what it is doing.
#[cfg(not(feature = "qtop"))]
use qorb_driver::Runtime as Stage;
#[cfg(feature = "qtop")]
use qorb_driver::Serve as Stage;

/// A runtime, and plain TCP on it.
pub trait Platform: 'static {
    /// Its name, as `--runtime` takes it.
    const NAME: &'static str;
    /// The runtime.
    type Runtime: Stage + fmt::Debug;
    /// Plain TCP.
    type Tcp: Connector<Connection: Exchange, Error = io::Error> + Clone + Default;

    /// Starts the runtime, runs `future` in it, and ends it.
    ///
    /// # Errors
    ///
    /// The runtime cannot be started.
    fn run<F: Future>(future: F) -> io::Result<F::Output>;

    /// Waits for a while.
    fn pause(runtime: &Self::Runtime, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        runtime.sleep_until(runtime.now().after(span))
    }
}

/// tokio, with all its threads.
#[derive(Clone, Copy, Debug)]
pub struct OnTokio;

impl Platform for OnTokio {
    const NAME: &'static str = "tokio";
    type Runtime = TokioRuntime;
    type Tcp = qorb_tokio::TcpConnector;

    fn run<F: Future>(future: F) -> io::Result<F::Output> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(runtime.block_on(future))
    }
}

/// smol, with its global executor.
#[derive(Clone, Copy, Debug)]
pub struct OnSmol;

impl Platform for OnSmol {
    const NAME: &'static str = "smol";
    type Runtime = SmolRuntime;
    type Tcp = qorb_smol::TcpConnector;

    fn run<F: Future>(future: F) -> io::Result<F::Output> {
        Ok(smol::block_on(future))
    }
}
