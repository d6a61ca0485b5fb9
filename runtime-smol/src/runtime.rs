//! What the pool asks of smol.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Instant;

use qorb_driver::{NoRuntime, Runtime, TcpStream, Timestamp, UdpSocket};
use smol::Timer;
use smol::io::{AsyncReadExt, AsyncWriteExt};

/// What timestamps count from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// smol, which is always there: its reactor is the process's, and the first task that a pool spawns
/// starts the threads of its global executor (one, or as many as `SMOL_THREADS` says).
///
/// A program may run its own tasks on any executor, or under `smol::block_on` alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SmolRuntime;

impl Runtime for SmolRuntime {
    type Udp = Datagrams;
    type Tcp = Bytes;

    fn current() -> Result<Self, NoRuntime> {
        Ok(Self)
    }

    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.after(Instant::now().duration_since(*EPOCH))
    }

    fn entropy(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system gives out randomness");
        bytes
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }

    fn sleep_until(&self, time: Timestamp) -> impl Future<Output = ()> + Send + 'static {
        let deadline = EPOCH.checked_add(time.since(Timestamp::EPOCH));
        let timer = deadline.map_or_else(Timer::never, Timer::at);
        async move {
            let _ = timer.await;
        }
    }

    async fn udp(&self, to: SocketAddr) -> io::Result<Datagrams> {
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = smol::net::UdpSocket::bind(any).await?;
        socket.connect(to).await?;
        Ok(Datagrams(socket))
    }

    async fn tcp(&self, to: SocketAddr) -> io::Result<Bytes> {
        smol::net::TcpStream::connect(to).await.map(Bytes)
    }

    fn enter<T>(&self, call: impl FnOnce() -> T) -> T {
        // Nothing of smol's needs a context.
        call()
    }
}

/// A datagram socket of smol's.
#[derive(Debug)]
pub struct Datagrams(smol::net::UdpSocket);

impl UdpSocket for Datagrams {
    async fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.0.send(datagram).await.map(drop)
    }

    async fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer).await
    }
}

/// A stream of smol's.
#[derive(Debug)]
pub struct Bytes(smol::net::TcpStream);

impl TcpStream for Bytes {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }
}
