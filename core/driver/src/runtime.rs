//! What the driver asks of an async runtime: nine small things.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use qorb_core::Timestamp;

use crate::error::NoRuntime;

/// An async runtime, as little of it as a pool needs.
///
/// A value is a cheap reference to a running runtime: `tokio::runtime::Handle`, or nothing at all
/// where the executor is global. Everything may be called from any thread, inside the runtime or not.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A datagram socket.
    type Udp: UdpSocket;
    /// A stream.
    type Tcp: TcpStream;

    /// The runtime in whose context the caller runs.
    ///
    /// # Errors
    ///
    /// There is none here.
    fn current() -> Result<Self, NoRuntime>;

    /// The time since an epoch that is the same for a value and all its clones. It never goes back.
    fn now(&self) -> Timestamp;

    /// Random bytes that nobody can guess, fresh at every call.
    fn entropy(&self) -> [u8; 32];

    /// Runs a task to its end, detached. One that can be run no more is dropped, at once or later.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Completes at `time` or a little later; at once where that has passed.
    fn sleep_until(&self, time: Timestamp) -> impl Future<Output = ()> + Send + 'static;

    /// A fresh socket, bound to a port that the system chose and connected to `to`, so that the kernel
    /// drops what comes from elsewhere.
    fn udp(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Udp>> + Send;

    /// A stream to `to`.
    fn tcp(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Tcp>> + Send;

    /// Runs `call` in this runtime's context, so that a connection may be dropped, or its recycling
    /// be polled, on a thread that is not the runtime's.
    fn enter<T>(&self, call: impl FnOnce() -> T) -> T;
}

/// A connected datagram socket. All of its futures may be dropped at any time without loss.
pub trait UdpSocket: Send + 'static {
    /// Sends one datagram.
    fn send(&mut self, datagram: &[u8]) -> impl Future<Output = io::Result<()>> + Send;

    /// Receives one datagram into `buffer` and tells its length; what does not fit is cut off.
    fn recv(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

/// A stream of bytes in both directions.
pub trait TcpStream: Send + 'static {
    /// Reads some bytes into `buffer` and tells how many, 0 at the end of the stream. The future may be
    /// dropped at any time without loss.
    fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Writes all of `bytes`, in one write if the system takes them.
    fn write_all(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

/// What comes of `future`, if it takes no longer than `span`.
pub(crate) async fn within<R: Runtime, T>(
    runtime: &R,
    span: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut late = pin!(runtime.sleep_until(runtime.now().after(span)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => late.as_mut().poll(cx).map(|()| None),
    })
    .await
}
