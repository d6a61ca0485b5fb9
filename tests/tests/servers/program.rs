//! A DNS server's process, in a folder of its own, on a loopback port that was free.

use std::fmt::Display;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::zone::{ORIGIN, Zone};

/// How long one look at a server waits for its answer.
const GLANCE: Duration = Duration::from_millis(20);

/// Which program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    Hickory,
    Knot,
    Bind,
}

pub(crate) fn hickory() -> Program {
    Program::Hickory
}

pub(crate) fn knot() -> Program {
    Program::Knot
}

pub(crate) fn bind() -> Program {
    Program::Bind
}

/// How a server is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    /// It answers.
    Fair,
    /// It does, but cuts most of its datagrams short.
    Curt,
    /// It says REFUSED.
    Refusing,
    /// It says SERVFAIL.
    Failing,
}

/// A server. It is killed, and its folder removed, when this is dropped.
pub(crate) struct Server {
    program: Program,
    folder: PathBuf,
    port: u16,
    zone: Zone,
    child: Option<Child>,
}

impl Mood {
    /// The response code of its answers.
    fn code(self) -> u8 {
        match self {
            Self::Fair | Self::Curt => 0,
            Self::Failing => 2,
            Self::Refusing => 5,
        }
    }
}

impl Program {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hickory => "hickory",
            Self::Knot => "Knot",
            Self::Bind => "BIND",
        }
    }

    /// Starts it on a free port.
    pub(crate) fn start(self, mood: Mood) -> Server {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("qorb-servers-{}-{number}", std::process::id()));
        fs::create_dir_all(folder.join("db")).expect("there is room for a folder");
        let mut server = Server { program: self, folder, port: 0, zone: Zone::new(), child: None };
        for _ in 0..10 {
            server.port = free_port();
            if server.revive(mood) {
                return server;
            }
        }
        panic!("{} does not start: {}", self.name(), server.said());
    }

    /// The command that runs it in the foreground.
    fn command(self, folder: &dyn Display, port: u16) -> Command {
        let (program, arguments) = match self {
            Self::Hickory => ("hickory-dns", format!("-c {folder}/conf -z {folder} -p {port}")),
            Self::Knot => ("knotd", format!("-c {folder}/conf")),
            Self::Bind => ("named", format!("-g -c {folder}/conf")),
        };
        let mut command = Command::new(program);
        command.args(arguments.split(' '));
        command
    }

    fn configuration(self, mood: Mood, folder: &dyn Display, port: u16) -> String {
        match self {
            Self::Hickory => hickory_conf(mood),
            Self::Knot => knot_conf(mood, folder, port),
            Self::Bind => bind_conf(mood, folder, port),
        }
    }
}

/// Only a server that can load all of its zones starts, so it cannot be made to fail.
fn hickory_conf(mood: Mood) -> String {
    let zone = format!("[[zones]]\nzone = \"{ORIGIN}\"\nzone_type = \"Primary\"\nfile = \"zone\"\n");
    let zone = if mood == Mood::Refusing { "" } else { &zone };
    format!("listen_addrs_ipv4 = [\"127.0.0.1\"]\nlisten_addrs_ipv6 = []\ndrop_privileges = false\n{zone}")
}

fn knot_conf(mood: Mood, folder: &dyn Display, port: u16) -> String {
    let server = format!("server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\n");
    let control = format!("control:\n  listen: {folder}/control\ndatabase:\n  storage: {folder}/db\n");
    let rates = "mod-rrl:\n  - id: curt\n    rate-limit: 1\n    slip: 1\n";
    let file = if mood == Mood::Failing { "nowhere" } else { "zone" };
    let zone = format!("zone:\n  - domain: {ORIGIN}\n    storage: {folder}\n    file: {file}\n");
    let module = if mood == Mood::Curt { "    module: mod-rrl/curt\n" } else { "" };
    let zone = if mood == Mood::Refusing { String::new() } else { zone + module };
    format!("{server}log:\n  - target: stderr\n    any: warning\n{control}{rates}{zone}")
}

fn bind_conf(mood: Mood, folder: &dyn Display, port: u16) -> String {
    let here =
        format!("directory \"{folder}\"; pid-file \"{folder}/pid\"; session-keyfile \"{folder}/key\";");
    let listen = format!("listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};");
    let rates = "rate-limit { responses-per-second 1; window 1; slip 1; };";
    let rates = if mood == Mood::Curt { rates } else { "" };
    let query = if mood == Mood::Refusing { "allow-query { none; };" } else { "" };
    let file = if mood == Mood::Failing { "nowhere" } else { "zone" };
    format!(
        "options {{ {here} {listen} {rates} {query} recursion no; dnssec-validation no; }};\n\
         controls {{ }};\nzone \"{ORIGIN}\" {{ type primary; file \"{file}\"; }};\n"
    )
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.program.name()
    }

    /// Kills it and starts it again, set up so, at the same address.
    pub(crate) fn restart(&mut self, mood: Mood) {
        self.kill();
        let end = Instant::now() + PATIENCE;
        while !self.revive(mood) {
            assert!(Instant::now() < end, "{} does not start again: {}", self.name(), self.said());
        }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours to kill");
            child.wait().expect("it is ours to wait for");
        }
    }

    /// Lets it hear everything and say nothing.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Takes these records out of the running server's zone, and others in.
    pub(crate) fn edit(&mut self, out: &[&str], r#in: &[&str]) {
        self.zone.edit(out, r#in);
        match self.program {
            Program::Hickory => panic!("hickory-dns cannot be edited while it runs"),
            Program::Knot => {
                self.knotc("zone-begin", "");
                out.iter().for_each(|record| self.knotc("zone-unset", record));
                r#in.iter().for_each(|record| self.knotc("zone-set", record));
                self.knotc("zone-commit", "");
            }
            Program::Bind => {
                self.write_zone();
                self.signal("HUP");
                // It loads the file a while after it was told to.
                let (news, end) = (self.zone.serial_and_refresh(), Instant::now() + PATIENCE);
                let tells = |answer: Vec<u8>| answer.windows(news.len()).any(|bytes| bytes == news);
                while !self.ask().is_some_and(tells) {
                    assert!(Instant::now() < end, "{} does not load its zone: {}", self.name(), self.said());
                }
            }
        }
    }

    /// The zone that it has from its next start on.
    pub(crate) fn learn(&mut self, records: &[&str]) {
        self.zone.edit(&[], records);
    }

    /// Whether it really cuts datagrams short, when asked a few times.
    pub(crate) fn is_curt(&self) -> bool {
        (0..20).any(|_| self.ask().is_some_and(|answer| answer[2] & 2 != 0))
    }

    /// Starts it; true once it answers as it is meant to, false if it ended.
    fn revive(&mut self, mood: Mood) -> bool {
        let folder = self.folder.display();
        self.write_zone();
        fs::write(self.folder.join("conf"), self.program.configuration(mood, &folder, self.port))
            .expect("there is room for a file");
        let said = File::create(self.folder.join("said")).expect("there is room for a file");
        let mut command = self.program.command(&folder, self.port);
        let command = command.stdin(Stdio::null()).stdout(said.try_clone().expect("a file")).stderr(said);
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{command:?}: {error}: .ci/run installs it")));
        let end = Instant::now() + PATIENCE;
        // BIND says SERVFAIL until it has loaded its zone.
        while self.ask().is_none_or(|answer| answer[3] & 15 != mood.code()) {
            let child = self.child.as_mut().expect("it was started just now");
            if child.try_wait().expect("it is ours to look at").is_some() {
                return false;
            }
            assert!(Instant::now() < end, "{} does not answer: {}", self.name(), self.said());
        }
        true
    }

    fn write_zone(&self) {
        fs::write(self.folder.join("zone"), self.zone.to_string()).expect("there is room for a file");
    }

    /// Asks for the start of the zone; what it says soon, if anything.
    fn ask(&self) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("there is a port");
        socket.set_read_timeout(Some(GLANCE)).expect("it is a time");
        let header = [7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let labels = ORIGIN.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
        let question: Vec<u8> = header.into_iter().chain(labels).chain([0, 0, 6, 0, 1]).collect();
        socket.send_to(&question, self.address()).ok()?;
        let mut answer = vec![0; 4096];
        let (length, from) = socket.recv_from(&mut answer).ok()?;
        answer.truncate(length);
        (from == self.address() && answer.len() >= 12).then_some(answer)
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        let status = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
        assert!(status.expect("there is a kill").success());
    }

    fn knotc(&self, command: &str, record: &str) {
        let mut knotc = Command::new("knotc");
        let knotc = knotc.arg("-s").arg(self.folder.join("control")).args([command, ORIGIN]);
        let output = knotc.args(record.split_whitespace()).output().expect("it comes with knotd");
        assert!(output.status.success(), "{command} {record}: {output:?}");
    }

    /// All that it wrote since its last start.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.join("said")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // Whoever looks for what went wrong finds it in the panic.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port that nobody has for either protocol, just now.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
        let address = tcp.local_addr().expect("it is bound");
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}
