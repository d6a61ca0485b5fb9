//! What the pool asks of tokio.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use qorb_driver::{NoRuntime, Runtime, TcpStream, Timestamp, UdpSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Longer than any program runs, for deadlines that the clock cannot express.
const AGES: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A tokio runtime.
///
/// Its clock is tokio's, so a test that pauses time pauses its pools. Timestamps are for it and its clones:
/// each runtime of a process may have a clock of its own.
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
    /// What timestamps count from.
    epoch: Instant,
}

impl From<Handle> for TokioRuntime {
    /// For a pool that is made outside the runtime, by `Pool::new_in`.
    fn from(handle: Handle) -> Self {
        let epoch = {
            let _guard = handle.enter();
            Instant::now()
        };
        Self { handle, epoch }
    }
}

impl Runtime for TokioRuntime {
    type Udp = Datagrams;
    type Tcp = Bytes;

    fn current() -> Result<Self, NoRuntime> {
        let handle = Handle::try_current().map_err(|_| NoRuntime)?;
        // Without `enable_time` tokio panics, with a message that says so: here, not in a task of the pool.
        catch_unwind(|| drop(sleep(Duration::ZERO))).map_err(|_| NoRuntime)?;
        Ok(Self { handle, epoch: Instant::now() })
    }

    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.after(Instant::now().duration_since(self.epoch))
    }

    fn entropy(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system gives out randomness");
        bytes
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }

    fn sleep_until(&self, time: Timestamp) -> impl Future<Output = ()> + Send + 'static {
        let deadline = self.epoch.checked_add(time.since(Timestamp::EPOCH));
        let deadline = deadline.unwrap_or_else(|| Instant::now() + AGES);
        // A sleep panics when it is polled after the end of its runtime. A task's own never is, since the task
        // ends first. Whoever is no task waits for one that sleeps, however it ends.
        let away = tokio::task::try_id().is_none().then(|| {
            let mut away = JoinSet::new();
            away.spawn_on(async move { sleep_until(deadline).await }, &self.handle);
            away
        });
        async move {
            match away {
                Some(mut away) => drop(away.join_next().await),
                None => sleep_until(deadline).await,
            }
        }
    }

    async fn udp(&self, to: SocketAddr) -> io::Result<Datagrams> {
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        // None of it blocks.
        let socket = std::net::UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        or_no_io(|| self.enter(|| tokio::net::UdpSocket::from_std(socket)))?.map(Datagrams)
    }

    async fn tcp(&self, to: SocketAddr) -> io::Result<Bytes> {
        let mut connecting = pin!(tokio::net::TcpStream::connect(to));
        let connected = poll_fn(|cx| {
            let poll = or_no_io(|| self.enter(|| connecting.as_mut().poll(cx)));
            poll.unwrap_or_else(|error| Poll::Ready(Err(error)))
        });
        connected.await.map(Bytes)
    }

    fn enter<T>(&self, call: impl FnOnce() -> T) -> T {
        // A task has a context already, and entering one costs as much as half a claim.
        if tokio::task::try_id().is_some() {
            return call();
        }
        let _guard = self.handle.enter();
        call()
    }
}

/// What `call` brings, which panics without `enable_io`: nobody hears of that in a task of the pool.
pub(crate) fn or_no_io<T>(call: impl FnOnce() -> T) -> io::Result<T> {
    let why = "this tokio runtime has no I/O: build it with enable_io() or enable_all()";
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| io::Error::other(why))
}

/// A datagram socket of tokio's.
#[derive(Debug)]
pub struct Datagrams(tokio::net::UdpSocket);

impl UdpSocket for Datagrams {
    async fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.0.send(datagram).await.map(drop)
    }

    async fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer).await
    }
}

/// A stream of tokio's.
#[derive(Debug)]
pub struct Bytes(tokio::net::TcpStream);

impl TcpStream for Bytes {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;
    use tokio::time::advance;

    use super::*;

    #[test]
    fn the_clock_of_one_runtime_is_nothing_to_another() {
        let second = Duration::from_secs(1);
        let paused = Builder::new_current_thread().enable_time().start_paused(true).build();
        paused.expect("it starts").block_on(async {
            advance(3600 * second).await;
            let runtime = TokioRuntime::current().expect("it runs");
            let begin = runtime.now();
            advance(second).await;
            assert_eq!(runtime.now().since(begin), second);
        });
        let plain = Builder::new_current_thread().enable_time().build().expect("it starts");
        let runtime = TokioRuntime::from(plain.handle().clone());
        let begin = runtime.now();
        let real = std::time::Instant::now();
        while real.elapsed().is_zero() {}
        assert!(runtime.now() > begin, "its clock stands still");
    }
}
