//! The echo protocol, from the side of one who asks.

use std::fmt;
use std::future::Future;
use std::io;

use qorb_driver::{Backend, Connector};

/// A connection to an echo server.
pub trait Exchange: fmt::Debug + Send + 'static {
    /// Sends `request`, and reads the first `length` bytes of what comes back.
    ///
    /// # Errors
    ///
    /// The connection failed, or something else came back.
    fn exchange_part(&mut self, request: &[u8], length: usize)
    -> impl Future<Output = io::Result<()>> + Send;

    /// Sends `request`, and reads that much back.
    ///
    /// # Errors
    ///
    /// The connection failed, or something else came back.
    fn exchange(&mut self, request: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        self.exchange_part(request, request.len())
    }
}

impl Exchange for tokio::net::TcpStream {
    async fn exchange_part(&mut self, request: &[u8], length: usize) -> io::Result<()> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        self.write_all(request).await?;
        let mut answer = vec![0; length];
        self.read_exact(&mut answer).await?;
        compare(&request[..length], &answer)
    }
}

impl Exchange for smol::net::TcpStream {
    async fn exchange_part(&mut self, request: &[u8], length: usize) -> io::Result<()> {
        use smol::io::{AsyncReadExt, AsyncWriteExt};
        self.write_all(request).await?;
        let mut answer = vec![0; length];
        self.read_exact(&mut answer).await?;
        compare(&request[..length], &answer)
    }
}

fn compare(request: &[u8], answer: &[u8]) -> io::Result<()> {
    if request == answer {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the server answered something else"))
}

/// Connects as another connector does, and checks idle connections by echoing a byte. After a use a look
/// is enough: the user has just heard from the server.
#[derive(Clone, Default)]
pub struct EchoConnector<K> {
    inner: K,
}

impl<K> Connector for EchoConnector<K>
where
    K: Connector<Connection: Exchange, Error = io::Error>,
{
    type Connection = K::Connection;
    type Error = io::Error;

    async fn connect(&self, backend: &Backend) -> io::Result<K::Connection> {
        self.inner.connect(backend).await
    }

    async fn is_valid(&self, connection: &mut K::Connection) -> io::Result<()> {
        self.inner.is_valid(connection).await?;
        connection.exchange(b"?").await
    }

    async fn on_acquire(&self, connection: &mut K::Connection) -> io::Result<()> {
        self.inner.on_acquire(connection).await
    }

    async fn on_recycle(&self, connection: &mut K::Connection) -> io::Result<()> {
        self.inner.is_valid(connection).await
    }
}

impl<K> fmt::Debug for EchoConnector<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoConnector").finish_non_exhaustive()
    }
}
