//! Streams between a server on the simulated runtime and its clients: bytes arrive at once, as long as there is
//! room for them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_io::{AsyncRead, AsyncWrite};
use qorb_driver::Serve;

use super::Sim;

/// What a listener and those who call it share.
#[derive(Clone, Debug, Default)]
pub struct Door(Arc<Mutex<Callers>>);

#[derive(Debug, Default)]
struct Callers {
    waiting: VecDeque<Wire>,
    waker: Option<Waker>,
}

/// One end of a stream.
#[derive(Debug)]
pub struct Wire {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
}

/// One direction of it.
#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    closed: bool,
    wakers: Vec<Waker>,
}

impl Door {
    /// A client's end of a new stream that holds so many bytes in each direction.
    #[must_use]
    pub fn call(&self, room: usize) -> Wire {
        let pipe = || {
            let pipe = Pipe { bytes: VecDeque::new(), room, closed: false, wakers: Vec::new() };
            Arc::new(Mutex::new(pipe))
        };
        let (up, down) = (pipe(), pipe());
        let waker = {
            let mut callers = lock(&self.0);
            callers.waiting.push_back(Wire { incoming: Arc::clone(&up), outgoing: Arc::clone(&down) });
            callers.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
        Wire { incoming: down, outgoing: up }
    }
}

impl Wire {
    /// Whether the other end has hung up, and nothing is left to read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let pipe = lock(&self.incoming);
        pipe.closed && pipe.bytes.is_empty()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something to a pipe, or waits until it can be done.
fn try_on<T>(
    pipe: &Mutex<Pipe>,
    cx: &Context<'_>,
    act: impl FnOnce(&mut Pipe) -> Option<io::Result<T>>,
) -> Poll<io::Result<T>> {
    let mut pipe = lock(pipe);
    let Some(done) = act(&mut pipe) else {
        pipe.wakers.push(cx.waker().clone());
        return Poll::Pending;
    };
    let wakers = std::mem::take(&mut pipe.wakers);
    drop(pipe);
    wakers.into_iter().for_each(Waker::wake);
    Poll::Ready(done)
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        try_on(&self.incoming, cx, |pipe| {
            let count = buffer.len().min(pipe.bytes.len());
            for (place, byte) in buffer.iter_mut().zip(pipe.bytes.drain(..count)) {
                *place = byte;
            }
            (count > 0 || pipe.closed).then_some(Ok(count))
        })
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        try_on(&self.outgoing, cx, |pipe| {
            if pipe.closed {
                return Some(Err(ErrorKind::BrokenPipe.into()));
            }
            let count = bytes.len().min(pipe.room - pipe.bytes.len());
            pipe.bytes.extend(&bytes[..count]);
            (count > 0).then_some(Ok(count))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        try_on(&self.outgoing, cx, |pipe| {
            pipe.closed = true;
            Some(Ok(()))
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for pipe in [&self.incoming, &self.outgoing] {
            let mut pipe = lock(pipe);
            pipe.closed = true;
            let wakers = std::mem::take(&mut pipe.wakers);
            drop(pipe);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl Serve for Sim {
    type Listener = Door;
    type Stream = Wire;

    async fn bind(&self, address: SocketAddr) -> io::Result<(Door, SocketAddr)> {
        let door = Door::default();
        self.lock().doors.insert(address, door.clone());
        Ok((door, address))
    }

    async fn accept(&self, door: &mut Door) -> io::Result<Wire> {
        poll_fn(|cx| {
            let mut callers = lock(&door.0);
            if let Some(wire) = callers.waiting.pop_front() {
                return Poll::Ready(Ok(wire));
            }
            let stale = callers.waker.replace(cx.waker().clone());
            drop(callers);
            drop(stale);
            Poll::Pending
        })
        .await
    }

    fn date(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000_000) + self.elapsed()
    }
}

impl Sim {
    /// Where somebody listens on this address.
    ///
    /// # Panics
    ///
    /// Panics where nobody does.
    #[must_use]
    pub fn door(&self, address: SocketAddr) -> Door {
        self.lock().doors.get(&address).expect("somebody listens there").clone()
    }
}
