//! Where a stats server listens.

use std::io;
use std::net::SocketAddr;
use std::time::SystemTime;

use async_tungstenite::tokio::TokioAdapter;
use qorb_driver::{Runtime, Serve};
use tokio::net::{TcpListener, TcpStream};

use crate::TokioRuntime;
use crate::runtime::or_no_io;

impl Serve for TokioRuntime {
    type Listener = TcpListener;
    type Stream = TokioAdapter<TcpStream>;

    async fn bind(&self, address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        // It does not block, and needs this runtime around it, which may not be the caller's.
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = or_no_io(|| self.enter(|| TcpListener::from_std(listener)))??;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<TokioAdapter<TcpStream>> {
        listener.accept().await.map(|(stream, _)| TokioAdapter::new(stream))
    }

    fn date(&self) -> SystemTime {
        SystemTime::now()
    }
}
