//! The sockets of a resolver: one future for each question under way, which owns its socket or stream.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use qorb_core::dns::SocketFailure;

use crate::runtime::{Runtime, TcpStream, UdpSocket};

/// The room for one read of a stream.
const PIECE: usize = 4096;

pub(super) type Listening = Pin<Box<dyn Future<Output = Heard> + Send>>;
pub(super) type Outbox = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// A socket or stream. Its future owns it.
pub(super) struct Line {
    pub(super) listening: Listening,
    /// What is to be written to a stream.
    pub(super) outbox: Outbox,
}

/// What came of listening, and how to go on.
pub(super) enum Heard {
    Datagram(Vec<u8>, Listening),
    Opened(Listening),
    Bytes(Vec<u8>, Listening),
    Closed,
    Failed(SocketFailure),
}

/// Sends a datagram from a fresh socket, and listens for the first one back.
pub(super) async fn ask<R: Runtime>(runtime: R, server: SocketAddr, message: Vec<u8>, room: usize) -> Heard {
    let mut socket = match runtime.udp(server).await {
        Ok(socket) => socket,
        Err(error) => return Heard::Failed(failure(&error, SocketFailure::NoSocket)),
    };
    match socket.send(&message).await {
        Ok(()) => hear(socket, vec![0; room]).await,
        Err(error) => Heard::Failed(failure(&error, SocketFailure::Other)),
    }
}

/// Listens for one datagram.
fn hear<U: UdpSocket>(mut socket: U, mut buffer: Vec<u8>) -> Listening {
    Box::pin(async move {
        match socket.recv(&mut buffer).await {
            Ok(length) => Heard::Datagram(buffer[..length].to_vec(), hear(socket, buffer)),
            Err(error) => Heard::Failed(failure(&error, SocketFailure::Other)),
        }
    })
}

/// Opens a stream.
pub(super) async fn open<R: Runtime>(runtime: R, server: SocketAddr, outbox: Outbox) -> Heard {
    match runtime.tcp(server).await {
        Ok(stream) => Heard::Opened(converse(stream, outbox)),
        Err(error) => Heard::Failed(failure(&error, SocketFailure::NoSocket)),
    }
}

/// Writes whatever is to be written, and listens for the next bytes.
fn converse<T: TcpStream>(mut stream: T, outbox: Outbox) -> Listening {
    Box::pin(async move {
        let mut buffer = vec![0; PIECE];
        match exchange(&mut stream, &outbox, &mut buffer).await {
            Ok(0) => Heard::Closed,
            Ok(length) => Heard::Bytes(buffer[..length].to_vec(), converse(stream, outbox)),
            Err(error) => Heard::Failed(failure(&error, SocketFailure::Other)),
        }
    })
}

async fn exchange<T: TcpStream>(stream: &mut T, outbox: &Outbox, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let unsent = lock(outbox).pop_front();
        if let Some(bytes) = unsent {
            stream.write_all(&bytes).await?;
            continue;
        }
        let mut reading = pin!(stream.read(buffer));
        // The resolver polls all its lines whenever it has put something into an outbox.
        let read = poll_fn(|cx| match reading.as_mut().poll(cx) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending if lock(outbox).is_empty() => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(read) = read.await {
            return read;
        }
    }
}

pub(super) fn lock(outbox: &Outbox) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
    outbox.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the machine wants to know of an error.
fn failure(error: &io::Error, otherwise: SocketFailure) -> SocketFailure {
    use io::ErrorKind as Kind;
    let kinds = [
        (SocketFailure::Refused, [Kind::ConnectionRefused, Kind::ConnectionRefused]),
        (SocketFailure::Unreachable, [Kind::HostUnreachable, Kind::NetworkUnreachable]),
        (SocketFailure::Reset, [Kind::ConnectionReset, Kind::BrokenPipe]),
    ];
    let found = kinds.into_iter().find(|(_, kinds)| kinds.contains(&error.kind()));
    found.map_or(otherwise, |(failure, _)| failure)
}
