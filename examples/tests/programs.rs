//! Every example, run as a program: what it prints, how it ends, and the walk-through with every server
//! in a process of its own.

#![allow(clippy::print_stdout, reason = "a test that fails shows what its programs printed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use qorb_examples::{DnsServer, Summary};

/// Longer than anything here takes, even where a test shares its processor with many.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const NAMES: [&str; 3] = ["echo001.test.com", "echo002.test.com", "echo003.test.com"];

/// A running example. It is killed when this is dropped.
struct Program {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    fn start(name: &str, arguments: &[&str]) -> Self {
        Self::run(Command::new(path(name)).args(arguments))
    }

    fn run(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("cargo has built the examples");
        let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (tell, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines, seen: Vec::new() }
    }

    /// A server, and where it listens. It is started again where it finds its port in the hands of
    /// somebody's passing socket.
    fn server(name: &str, arguments: &[&str]) -> (Self, String) {
        for _ in 0..20 {
            let program = Self::start(name, arguments);
            if let Ok(line) = program.lines.recv_timeout(PATIENCE) {
                let address = line.strip_prefix("listening at ").expect("it says where it listens");
                return (program, address.to_owned());
            }
        }
        panic!("{name} does not start with {arguments:?}");
    }

    /// Waits for a line.
    fn until(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line says that {what}: {:#?}", self.seen));
            println!("{line}");
            self.seen.push(line.clone());
            if is_it(&line) {
                return line;
            }
        }
    }

    /// Waits for the end: how it ended, and all that it printed.
    fn finish(mut self) -> (ExitStatus, Vec<String>) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    println!("{line}");
                    self.seen.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.seen),
            }
        }
        let status = self.child.wait().expect("it is ours to wait for");
        (status, std::mem::take(&mut self.seen))
    }

    /// Waits for the end, which must be good, and its summary.
    fn summary(self) -> Summary {
        let (status, lines) = self.finish();
        assert!(status.success(), "{status}: {lines:#?}");
        let last = lines.last().expect("it printed a summary");
        serde_json::from_str(last).expect("the last line is a summary")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts an example: beside the folder of the tests.
fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its program");
    let folder = test.ancestors().nth(2).expect("it is target/PROFILE/deps/NAME");
    let path = folder.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{} is not built: run `cargo test -p qorb-examples`", path.display());
    path
}

#[test]
fn the_smallest_examples_say_hello() {
    for name in ["tokio_smallest", "smol_smallest"] {
        let (status, lines) = Program::start(name, &[]).finish();
        assert!(status.success(), "{name}: {status}");
        assert!(lines.iter().any(|line| line.ends_with(" says hello")), "{name}: {lines:?}");
    }
}

#[test]
fn the_quickstart_loses_a_backend_and_gets_it_back_on_tokio() {
    quickstart("tokio");
}

#[test]
fn the_quickstart_loses_a_backend_and_gets_it_back_on_smol() {
    quickstart("smol");
}

fn quickstart(runtime: &str) {
    let program = Program::start("quickstart", &["--runtime", runtime, "--for", "6s", "--hold", "5ms"]);
    let summary = program.summary();
    assert_eq!(summary.runtime, runtime);
    assert!(summary.claims_ok > 0);
    assert_eq!(summary.claims_failed, 0);
    assert_eq!(summary.by_backend.len(), 3, "{summary}");
    assert_eq!(summary.by_backend.values().sum::<u64>(), summary.claims_ok, "{summary}");
    assert_eq!(summary.killed.as_deref(), Some("echo002.test.com."));
    assert!(summary.recovered_in_ms.is_some(), "{summary}");
}

#[test]
fn a_summary_has_its_keys_in_their_order() {
    let summary = Summary {
        runtime: "tokio".to_owned(),
        claims_ok: 2,
        claims_failed: 1,
        by_backend: [("a.".to_owned(), 2)].into(),
        killed: None,
        recovered_in_ms: Some(7),
    };
    let line = r#"{"runtime":"tokio","claims_ok":2,"claims_failed":1,"by_backend":{"a.":2},"killed":null,"recovered_in_ms":7}"#;
    assert_eq!(summary.to_string(), line);
    assert!(!summary.is_good());
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let table: [(&[&str], &str); 12] = [
        (&["quickstart", "--for", "soon"], "write a number and ms, s, m or h"),
        (&["quickstart", "--for", "0s"], "it must be some time"),
        (&["quickstart", "--runtime", "async-std"], "tokio, smol"),
        (&["quickstart", "--claimers", "0"], "1..=10000"),
        (&["tcp_echo_server", "nowhere"], "invalid socket address"),
        (&["tcp_echo_workload", "--bootstrap", "localhost"], "invalid socket address"),
        (&["tcp_echo_workload", "--hold", "-1s"], "write a number and ms, s, m or h"),
        (&["tcp_echo_workload", "--no-such-flag"], "--no-such-flag"),
        (&["dns_server", "--target", "echo001"], "write it as"),
        (&["resolve"], "<SERVICE>"),
        (
            &["resolve", "no..name", "--server", "[::1]:1"],
            "'no..name': the service name is not a domain name",
        ),
        (&["resolve", "test.com", "--server", "localhost"], "invalid socket address"),
    ];
    for (command, reason) in table {
        let output = Command::new(path(command[0])).args(&command[1..]).output().expect("it is built");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains(reason), "{command:?}: {said}");
    }
}

#[test]
fn failures_end_with_one_and_a_reason() {
    let (_first, address) = Program::server("tcp_echo_server", &["127.0.0.1:0"]);
    let output = Command::new(path("tcp_echo_server")).arg(&address).output().expect("it is built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("error: cannot listen at {address}: ")), "{said}");

    // An echo server knows nothing of DNS, and no datagram reaches it.
    let arguments = ["--bootstrap", &address, "--for", "100ms", "--claimers", "2", "--probes"];
    let output = Command::new(path("tcp_echo_workload")).args(arguments).output().expect("it is built");
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the resolver knows no backends"), "{said}");
    assert!(printed.contains("qorb") && printed.contains("handle-claimed"), "{printed}");
    assert!(printed.contains(r#""claims_ok":0,"claims_failed":2"#), "{printed}");
}

#[test]
fn a_long_hold_ends_with_the_load() {
    for runtime in ["tokio", "smol"] {
        let program = Program::start("quickstart", &["--runtime", runtime, "--for", "500ms", "--hold", "1h"]);
        assert_eq!(program.summary().claims_failed, 0);
    }
}

#[test]
fn a_program_that_nobody_listens_to_ends_quietly() {
    let (_names, names) = names(&[("echo001.test.com", 6001)]);
    let table: [&[&str]; 5] = [
        &["resolve", "_echo._tcp.test.com", "--server", &names, "--watch"],
        &["quickstart"],
        &["tcp_echo_workload", "--bootstrap", "127.0.0.1:1", "--claimers", "1"],
        &["tcp_echo_server", "127.0.0.1:0"],
        &["dns_server", "127.0.0.1:0"],
    ];
    for command in table {
        let (reader, writer) = std::io::pipe().expect("there is room for a pipe");
        drop(reader);
        let mut program = Command::new(path(command[0]));
        if cfg!(feature = "qtop") && command[0] == "tcp_echo_workload" {
            // Others at work here may have the usual port.
            program.args(["--stats", "127.0.0.1:0"]);
        }
        let program = program.args(&command[1..]).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        let output = program.spawn().and_then(Child::wait_with_output).expect("it is built");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{command:?}: {}: {said}", output.status);
    }
}

#[cfg(unix)]
#[test]
fn an_echo_server_out_of_file_descriptors_serves_again_when_there_are_some() {
    let mut command = Command::new("sh");
    let command = command.args(["-c", "ulimit -n 16; exec \"$0\" 127.0.0.1:0"]).arg(path("tcp_echo_server"));
    let mut server = Program::run(command);
    let line = server.until("it listens", |line| line.starts_with("listening at "));
    let address = line.trim_start_matches("listening at ");
    // More than it can have; the system accepts the others for it.
    let visitors: Vec<_> = (0..20).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    let echo = |mut visitor: &TcpStream| {
        visitor.set_read_timeout(Some(PATIENCE)).expect("it is a time");
        visitor.write_all(b"?").expect("it is connected");
        visitor.read_exact(&mut [0]).expect("it is echoed");
    };
    echo(&visitors[0]);
    drop(visitors);
    echo(&TcpStream::connect(address).expect("it listens"));
}

#[test]
fn every_program_has_help() {
    for name in ["quickstart", "resolve", "tcp_echo_server", "tcp_echo_workload", "dns_server"] {
        let output = Command::new(path(name)).arg("--help").output().expect("it is built");
        assert!(output.status.success() && !output.stdout.is_empty(), "{name}");
    }
}

/// A DNS server in this process, and where it listens.
fn names(targets: &[(&str, u16)]) -> (DnsServer, String) {
    let server = DnsServer::start(LOOPBACK, "_echo._tcp.test.com.", at(targets)).expect("there is a port");
    let address = server.address().to_string();
    (server, address)
}

fn at<'a>(targets: &[(&'a str, u16)]) -> impl Iterator<Item = (&'a str, SocketAddr)> {
    targets.iter().map(|(name, port)| (*name, SocketAddr::new(LOOPBACK.ip(), *port)))
}

#[test]
fn resolve_prints_the_backends_and_who_says_so() {
    let (mut dns, address) = names(&[("echo001.test.com", 6001)]);
    for runtime in ["tokio", "smol"] {
        let arguments = ["_echo._tcp.test.com", "--server", &address, "--runtime", runtime];
        let (status, lines) = Program::start("resolve", &arguments).finish();
        assert!(status.success(), "{status}");
        let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["0", "0", "60s", "echo001.test.com.", "127.0.0.1:6001", &address], "{lines:?}");
        assert_eq!(lines.len(), 2);
    }
    let arguments = ["_echo._tcp.test.com", "--server", &address, "--json"];
    let (_, lines) = Program::start("resolve", &arguments).finish();
    let answer: serde_json::Value = serde_json::from_str(&lines[0]).expect("it is JSON");
    assert_eq!(answer["backends"][0]["address"], "127.0.0.1:6001", "{answer}");
    assert_eq!(answer["backends"][0]["servers"][0], *address, "{answer}");
    assert_eq!(answer["servers"][0]["outcome"], "backends", "{answer}");

    let fails = |name: &str, reason: &str| {
        let output =
            Command::new(path("resolve")).args([name, "--server", &address]).output().expect("it is built");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let expected = format!("error: no backends of {name}. were found; {address}: {reason}\n");
        assert!(said == expected && output.stdout.is_empty(), "{said}");
    };
    fails("_other._tcp.test.com", "no backends");
    dns.kill();
    fails("_echo._tcp.test.com", "failed: unreachable");
}

#[test]
fn resolve_goes_on_and_prints_what_changes() {
    let (mut dns, address) = names(&[("echo001.test.com", 6001)]);
    let arguments = ["_echo._tcp.test.com", "--server", &address, "--watch", "--every", "100ms"];
    let mut program = Program::start("resolve", &arguments);
    program.until("it is found", |line| line.contains(" + echo001.test.com. 127.0.0.1:6001 "));
    dns.publish(at(&[("echo002.test.com", 6002)])).expect("it is a name");
    program.until("it is gone", |line| line.contains(" - echo001.test.com. 127.0.0.1:6001 "));
    program.until("another is there", |line| line.contains(" + echo002.test.com. 127.0.0.1:6002 "));
    dns.kill();
    let lost = format!("{address} says: failed: unreachable");
    program.until("nobody answers", |line| line.ends_with(&lost));
    assert!(!program.seen.iter().any(|line| line.contains("- echo002")), "{:#?}", program.seen);
}

#[test]
fn resolve_says_that_there_is_nothing_and_that_nothing_is_left() {
    let (dns, address) = names(&[("echo001.test.com", 6001)]);
    let arguments = ["_other._tcp.test.com", "--server", &address, "--watch", "--every", "100ms"];
    let nothing = format!("{address} says: no backends");
    Program::start("resolve", &arguments).until("there is nothing", |line| line.ends_with(&nothing));
    let arguments = ["_echo._tcp.test.com", "--server", &address, "--watch", "--every", "100ms"];
    let mut program = Program::start("resolve", &arguments);
    program.until("it is found", |line| line.contains(" + echo001.test.com. 127.0.0.1:6001 "));
    dns.publish(at(&[])).expect("there are none");
    program.until("it is gone", |line| line.contains(" - echo001.test.com. 127.0.0.1:6001 "));
}

#[test]
fn the_walk_through_survives_the_loss_of_an_echo_server_and_of_dns_on_tokio() {
    walk_through("tokio");
}

#[test]
fn the_walk_through_survives_the_loss_of_an_echo_server_and_of_dns_on_smol() {
    walk_through("smol");
}

/// Three echo servers, a DNS server and a load, each in its own process. The second echo server is
/// killed and brought back; then the DNS server, which comes back with other news.
fn walk_through(runtime: &str) {
    let mut servers: Vec<_> = NAMES.map(|_| Program::server("tcp_echo_server", &["127.0.0.1:0"])).into();
    let known = |names: &[(&str, &str)]| -> Vec<String> {
        names.iter().map(|(name, address)| format!("--target={name}={address}")).collect()
    };
    let addresses: Vec<String> = servers.iter().map(|(_, address)| address.clone()).collect();
    let names: Vec<_> = NAMES.into_iter().zip(addresses.iter().map(String::as_str)).collect();
    let (dns, resolver) = dns_server("127.0.0.1:0", &known(&names));

    let arguments = ["--runtime", runtime, "--bootstrap", &resolver, "--for", "25s", "--hold", "5ms"];
    let mut load = Program::start("tcp_echo_workload", &arguments);
    let serves = |line: &str, name: &str| line.contains(&format!("{name} ")) && !line.contains(" down");
    load.until("all three serve", |line| {
        ["echo001", "echo002", "echo003"].iter().all(|name| serves(line, name))
    });

    drop(servers.remove(1));
    load.until("the second is lost", |line| line.contains("echo002 down"));
    servers.push(Program::server("tcp_echo_server", &[&addresses[1]]));
    load.until("the second is back", |line| serves(line, "echo002"));

    drop(dns);
    for _ in 0..6 {
        // The load asks every five seconds.
        load.until("it goes on without DNS", |line| serves(line, "echo001") && serves(line, "echo002"));
    }
    let (_fourth, address) = Program::server("tcp_echo_server", &["127.0.0.1:0"]);
    let news: Vec<_> = names.iter().copied().chain([("echo004.test.com", address.as_str())]).collect();
    let (_dns, _) = dns_server(&resolver, &known(&news));
    load.until("the news are heard", |line| serves(line, "echo004"));

    let summary = load.summary();
    assert_eq!(summary.runtime, runtime);
    assert_eq!(summary.claims_failed, 0, "{summary}");
    assert_eq!(summary.by_backend.len(), 4, "{summary}");
    assert_eq!(summary.killed.as_deref(), Some("echo002.test.com."), "{summary}");
    assert!(summary.recovered_in_ms.is_some(), "{summary}");
}

fn dns_server(address: &str, targets: &[String]) -> (Program, String) {
    let arguments: Vec<_> = [address].into_iter().chain(targets.iter().map(String::as_str)).collect();
    Program::server("dns_server", &arguments)
}
