//! A thread for a server: everything that the server holds is gone when the thread is stopped.

use std::convert::Infallible;
use std::fmt;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use smol::channel::{Receiver, Sender, bounded};
use smol::future::or;
use smol::{LocalExecutor, Timer};

/// Lets a server rest after its socket failed: an error may last, as when there are no file descriptors
/// left, and whoever could end it runs on the same thread.
pub(crate) async fn rest() {
    Timer::after(Duration::from_millis(50)).await;
}

/// A server's thread. Dropping it closes all of the server's sockets before it returns.
pub(crate) struct Host {
    stop: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Runs `serve` on a thread of its own, with an executor for what it spawns.
    ///
    /// # Panics
    ///
    /// The system has no thread to give.
    pub(crate) fn start<S>(name: &str, serve: S) -> Self
    where
        S: AsyncFnOnce(&LocalExecutor<'static>) + Send + 'static,
    {
        let (stop, stopped) = bounded(1);
        let run = move || run(serve, &stopped);
        let thread = Builder::new().name(name.to_owned()).spawn(run).expect("there is room for a thread");
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

fn run(serve: impl AsyncFnOnce(&LocalExecutor<'static>), stopped: &Receiver<Infallible>) {
    let executor = LocalExecutor::new();
    let stop = async {
        // Nothing is ever sent: the channel closes.
        let _ = stopped.recv().await;
    };
    smol::block_on(executor.run(or(stop, serve(&executor))));
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A server that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}
