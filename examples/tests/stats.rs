//! The workload with a stats server: it says where that is, and does without where it cannot be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use qorb_examples::{DnsServer, EchoServer};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const RUNTIMES: [&str; 2] = ["tokio", "smol"];

/// The program, which `cargo test` builds with its tests.
fn path() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its program");
    let folder = test.ancestors().nth(2).expect("it is target/PROFILE/deps/NAME");
    folder.join("examples/tcp_echo_workload").with_extension(std::env::consts::EXE_EXTENSION)
}

/// A service of one echo server.
fn service() -> (EchoServer, DnsServer) {
    let echo = EchoServer::start(LOOPBACK).expect("there is a port");
    let target = ("echo001.test.com", echo.address());
    let dns = DnsServer::start(LOOPBACK, "_echo._tcp.test.com.", [target]).expect("there is a port");
    (echo, dns)
}

fn workload(dns: &DnsServer, stats: SocketAddr, runtime: &str, span: &str) -> Child {
    Command::new(path())
        .args(["--headless", "--for", span, "--runtime", runtime])
        .args(["--bootstrap", &dns.address().to_string(), "--stats", &stats.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo has built the examples")
}

#[test]
fn the_workload_says_where_its_stats_are() {
    for runtime in RUNTIMES {
        let (_echo, dns) = service();
        let mut program = workload(&dns, LOOPBACK, runtime, "60s");
        let mut said = BufReader::new(program.stdout.take().expect("it is a pipe")).lines();
        let line = said.next().expect("it says where").expect("it is text");
        let address = line.strip_prefix("stats: http://").and_then(|rest| rest.split(' ').next());
        let address: SocketAddr = address.expect("a page").parse().expect("an address");
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(b"GET /qtop/pools HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.contains(r#""pools":["tcp_echo_workload"]"#), "{answer}");
        program.kill().expect("it runs");
        program.wait().expect("it ends");
    }
}

#[test]
fn a_taken_port_does_not_stop_the_workload() {
    for runtime in RUNTIMES {
        let (_echo, dns) = service();
        let holder = TcpListener::bind(LOOPBACK).expect("there is a port");
        let taken = holder.local_addr().expect("it listens");
        let output = workload(&dns, taken, runtime, "1s").wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.starts_with(&format!("error: no stats are served: cannot listen on {taken}")), "{said}");
    }
}
