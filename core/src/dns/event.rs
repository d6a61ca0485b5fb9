//! What happens to a resolver, and what it asks for: the whole interface of the resolver machine.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use crate::backend::Backend;

/// Names one question under way: one datagram's socket, or one stream. The lowest free number, reused
/// only after it was forgotten or failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u32);

/// Something that happens to a resolver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A datagram arrived on this question's socket.
    Datagram(QueryId, Vec<u8>),
    /// This question's stream is open.
    StreamOpened(QueryId),
    /// Bytes arrived on this question's stream.
    StreamBytes(QueryId, Vec<u8>),
    /// The server closed this question's stream in good order.
    StreamClosed(QueryId),
    /// This question's socket or stream failed. It is gone: the embedder has already forgotten it.
    Failed(QueryId, SocketFailure),
    /// Somebody who uses the set finds that none of it works.
    ResolveNow,
    /// The resolver ends.
    ShutDown,
    /// Nothing but the passing of time.
    Tick,
}

impl Event {
    /// The socket or stream that it comes from.
    pub(super) fn query(&self) -> Option<QueryId> {
        match self {
            Self::Datagram(query, _)
            | Self::StreamOpened(query)
            | Self::StreamBytes(query, _)
            | Self::StreamClosed(query)
            | Self::Failed(query, _) => Some(*query),
            Self::ResolveNow | Self::ShutDown | Self::Tick => None,
        }
    }
}

/// How a socket failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SocketFailure {
    /// Nobody listens there.
    Refused,
    /// The address cannot be reached.
    Unreachable,
    /// The stream was reset.
    Reset,
    /// This machine could not provide a socket.
    NoSocket,
    /// Anything else.
    Other,
}

/// Something that a resolver asks of its embedder.
///
/// Exhaustive on purpose: an embedder that ignores an action leaks sockets or starves the pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send this one datagram from a fresh socket that is connected to the server, so that the kernel
    /// drops what comes from elsewhere, and hand in every datagram that arrives, until forgotten.
    Ask {
        /// Names the socket from now on.
        query: QueryId,
        /// Where to.
        server: SocketAddr,
        /// The datagram's payload.
        message: Vec<u8>,
    },
    /// Open a stream to the server.
    OpenStream {
        /// Names the stream from now on.
        query: QueryId,
        /// Where to.
        server: SocketAddr,
    },
    /// Write these bytes to an open stream, all in one write if the system takes them.
    Send(QueryId, Vec<u8>),
    /// Close the socket or stream. Nothing that comes from it is handed in any more.
    Forget(QueryId),
    /// The full set has changed: sorted by identity, each once.
    Resolved(Vec<Backend>),
    /// Something worth observing, already done.
    Note(super::Note),
}

impl fmt::Debug for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q{}", self.0)
    }
}
