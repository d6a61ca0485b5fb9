//! Connections of plain TCP.

use std::io::{Error, ErrorKind, Result};
use std::mem::MaybeUninit;
use std::time::Duration;

use qorb_driver::{Backend, Connector};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Connects to backends by TCP, with `TCP_NODELAY` on.
///
/// Its check, after every use and once in a while for an idle connection, is a look at what there is to
/// read: one system call and no traffic. A peer that has closed, reset, or sent something that nobody asked
/// for makes the connection invalid; so does an answer that the claimer left unread, since the next claimer
/// would take it for its own. A look before every use finds the answer that came after the connection was
/// returned, but not one that is still under way: a claimer cut off in the middle of an exchange should
/// `discard()` its handle. A peer that has vanished without a word is not noticed, unless keepalive is on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcpConnector {
    nodelay: bool,
    keepalive: Option<Duration>,
}

impl Default for TcpConnector {
    fn default() -> Self {
        Self { nodelay: true, keepalive: None }
    }
}

impl TcpConnector {
    /// The same, with small writes sent at once (`true`) or gathered by Nagle's algorithm (`false`).
    #[must_use]
    pub fn with_nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// The same, with keepalive: after `idle` without traffic the system asks whether the peer is still
    /// there, as often and as patiently as it is set up to.
    #[must_use]
    pub fn with_keepalive(mut self, idle: Duration) -> Self {
        self.keepalive = Some(idle);
        self
    }
}

impl Connector for TcpConnector {
    type Connection = TcpStream;
    type Error = Error;

    async fn connect(&self, backend: &Backend) -> Result<TcpStream> {
        let stream = TcpStream::connect(backend.address).await?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(idle) = self.keepalive {
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
        }
        Ok(stream)
    }

    async fn is_valid(&self, stream: &mut TcpStream) -> Result<()> {
        // The socket does not block: nothing to read is `WouldBlock`.
        match SockRef::from(&*stream).peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Err(Error::new(ErrorKind::ConnectionAborted, "the peer has closed the connection")),
            Ok(_) => Err(Error::new(ErrorKind::InvalidData, "there are bytes that nobody asked for")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn on_acquire(&self, stream: &mut TcpStream) -> Result<()> {
        // A peer that has closed is for the claimer to tell the pool of: that has all its connections
        // looked at, where refusing one after the other would end the claim at the third.
        match self.is_valid(stream).await {
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
