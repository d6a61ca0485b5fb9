//! The walk-through's DNS server for those who have no other: it knows what `test.com.zone` says of the
//! echo servers, or other targets.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use qorb_examples::{DnsServer, options};

/// Answers for `_echo._tcp.test.com.`, over UDP and TCP.
#[derive(Debug, Parser)]
#[command(name = "dns_server")]
struct Arguments {
    /// Where to listen; port 0 is one that the system picks
    #[arg(value_name = "ADDR", default_value = "[::1]:1234")]
    address: SocketAddr,
    /// An echo server and where it is (repeatable)
    #[arg(
        long,
        value_name = "NAME=ADDR",
        value_parser = target,
        default_values = [
            "echo001.test.com=[::1]:6001",
            "echo002.test.com=[::1]:6002",
            "echo003.test.com=[::1]:6003",
        ]
    )]
    target: Vec<(String, SocketAddr)>,
}

fn target(text: &str) -> Result<(String, SocketAddr), String> {
    let unreadable = || format!("'{text}' is no target: write it as echo001.test.com=[::1]:6001");
    let (name, address) = text.split_once('=').ok_or_else(unreadable)?;
    Ok((name.to_owned(), address.parse().map_err(|_| unreadable())?))
}

fn main() -> ExitCode {
    options::exit(serve(&Arguments::parse()))
}

fn serve(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let Arguments { address, target } = arguments;
    let cannot = |error| format!("cannot serve at {address}: {error}");
    let targets = target.iter().map(|(name, address)| (name.as_str(), *address));
    let server = DnsServer::start(*address, "_echo._tcp.test.com.", targets).map_err(cannot)?;
    options::say(&format!("listening at {}", server.address()))?;
    loop {
        std::thread::park();
    }
}
