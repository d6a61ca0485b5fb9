//! Where a stats server listens.

use std::io;
use std::net::SocketAddr;
use std::time::SystemTime;

use qorb_driver::Serve;
use smol::net::{TcpListener, TcpStream};

use crate::SmolRuntime;

impl Serve for SmolRuntime {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn bind(&self, address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }

    fn date(&self) -> SystemTime {
        SystemTime::now()
    }
}
