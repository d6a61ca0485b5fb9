//! A TCP server that says what it hears.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use qorb_examples::{EchoServer, options};
use smol::net::TcpListener;

/// Says what it hears.
#[derive(Debug, Parser)]
#[command(name = "tcp_echo_server")]
struct Arguments {
    /// Where to listen; port 0 is one that the system picks
    #[arg(value_name = "ADDR", default_value = "[::1]:0")]
    address: SocketAddr,
}

fn main() -> ExitCode {
    let Arguments { address } = Arguments::parse();
    options::exit(smol::block_on(serve(address)))
}

async fn serve(address: SocketAddr) -> Result<bool, Box<dyn Error>> {
    let cannot = |error| format!("cannot listen at {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    options::say(&format!("listening at {}", listener.local_addr()?))?;
    EchoServer::serve(&listener).await;
    Ok(true)
}
