//! The smallest program with a pool on smol: `cargo run --example smol_smallest [ADDRESS]...`
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::net::SocketAddr;

use qorb_examples::EchoServer;
use qorb_smol::{FixedResolver, Policy, Pool, TcpConnector};
use smol::io::{AsyncReadExt, AsyncWriteExt};

fn main() -> Result<(), Box<dyn Error>> {
    // Somebody has to answer: the echo servers at these addresses, or one in this process.
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in std::env::args().skip(1) {
        addresses.push(address.parse()?);
    }
    let echo = EchoServer::start(([127, 0, 0, 1], 0).into())?;
    if addresses.is_empty() {
        addresses.push(echo.address());
    }

    smol::block_on(async {
        let pool =
            Pool::new("smallest", FixedResolver::new(addresses), TcpConnector::default(), Policy::default())?;
        let mut stream = pool.claim().await?;
        stream.write_all(b"hello").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        println!("{} says {}", stream.backend(), String::from_utf8_lossy(&answer));
        drop(stream); // back to the pool
        pool.terminate().await;
        Ok(())
    })
}
