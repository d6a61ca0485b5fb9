//! A server that says what it hears.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smol::LocalExecutor;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};

use crate::host::{Host, rest};

/// An echo server in this process.
#[derive(Debug)]
pub struct EchoServer {
    address: SocketAddr,
    counts: Arc<Counts>,
    host: Option<Host>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    accepted: AtomicUsize,
}

impl EchoServer {
    /// Starts to listen at `address`; port 0 is one that the system picks.
    ///
    /// # Errors
    ///
    /// The address cannot be listened at.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let mut server = Self { address, counts: Arc::default(), host: None };
        server.revive()?;
        Ok(server)
    }

    /// Where it listens, or did before it was killed.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// How many connections there have been.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::Relaxed)
    }

    /// Stops listening and closes all connections, as when a process dies.
    pub fn kill(&mut self) {
        self.host = None;
    }

    /// Listens again, at the same address. One that listens already is left alone.
    ///
    /// # Errors
    ///
    /// The address cannot be listened at, perhaps because a socket of somebody else's was given the port;
    /// a later attempt may succeed.
    pub fn revive(&mut self) -> io::Result<()> {
        if self.host.is_none() {
            let listener = std::net::TcpListener::bind(self.address)?;
            self.address = listener.local_addr()?;
            listener.set_nonblocking(true)?;
            let counts = Arc::clone(&self.counts);
            self.host = Some(Host::start("echo", async move |executor| {
                let listener = TcpListener::try_from(listener).expect("it is a socket that does not block");
                accept(executor, &listener, &counts).await;
            }));
        }
        Ok(())
    }

    /// Serves at `listener`, here, for as long as it is polled.
    pub async fn serve(listener: &TcpListener) {
        let executor = LocalExecutor::new();
        let counts = Arc::default();
        executor.run(accept(&executor, listener, &counts)).await;
    }
}

async fn accept(executor: &LocalExecutor<'static>, listener: &TcpListener, counts: &Arc<Counts>) {
    loop {
        // A peer that was gone before it was accepted is no reason to stop.
        let Ok((stream, _)) = listener.accept().await else {
            rest().await;
            continue;
        };
        let visit = Visit::new(Arc::clone(counts));
        let serving = async move {
            let _visit = visit;
            // However it ends, only that peer is concerned.
            let _ = echo(stream).await;
        };
        executor.spawn(serving).detach();
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

/// One open connection.
struct Visit {
    counts: Arc<Counts>,
}

impl Visit {
    fn new(counts: Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::Relaxed);
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        Self { counts }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
    }
}
