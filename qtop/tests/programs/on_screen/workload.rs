//! The workload on a terminal: its claimers can be added, removed, and told how long to hold.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[cfg(target_os = "linux")]
use super::pty::Pseudoterminal;
use super::terminal::Terminal;

/// A server of the examples' in a process of its own. It is killed when this is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child =
            Command::new(example(name)).args(arguments).stdout(Stdio::piped()).spawn().expect("it is built");
        let mut line = String::new();
        let output = child.stdout.take().expect("it is a pipe");
        BufReader::new(output).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening at ").expect("it says where it listens").to_owned();
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_qtop")).parent().expect("it is in a folder");
    let path = folder.join("examples").join(name);
    assert!(path.exists(), "{} is not built: run `cargo build -p qorb-examples --examples`", path.display());
    path
}

/// The servers that the workload needs.
fn servers() -> [Server; 2] {
    let echo = Server::start("tcp_echo_server", &["127.0.0.1:0"]);
    let target = format!("--target=echo001.test.com={}", echo.address);
    let dns = Server::start("dns_server", &["127.0.0.1:0", &target]);
    [echo, dns]
}

fn command(servers: &[Server; 2], arguments: &str) -> String {
    format!("{} --bootstrap {} {arguments}", example("tcp_echo_workload").display(), servers[1].address)
}

/// The workload on a screen, at work.
fn working(servers: &[Server; 2], arguments: &str) -> Terminal {
    let terminal = Terminal::run(&command(servers, arguments));
    terminal.until("echo001 ");
    terminal.until_that("claims", |shown| !shown.contains(" 0 claims granted"));
    terminal
}

fn claimers(terminal: &Terminal, count: usize) {
    let rows = |shown: &str| shown.lines().filter(|line| line.contains(" ms ")).count();
    terminal.until_that("so many claimers", |shown| rows(shown) == count);
}

/// Ends as a load should, with its summary on the screen that stays.
fn is_summed_up(terminal: &Terminal) {
    let shown = terminal.ends(0);
    assert!(shown.contains(r#""claims_failed":0,"by_backend":{"#), "{shown}");
}

#[test]
fn every_key_does_what_the_foot_says_on_both_runtimes() {
    let servers = servers();
    for runtime in ["tokio", "smol"] {
        let terminal = working(&servers, &format!("--runtime {runtime} --claimers 2 --hold 150ms"));
        terminal.until("Tab add  Shift-Tab remove");
        claimers(&terminal, 2);
        terminal.press(&["Tab"]);
        claimers(&terminal, 3);
        terminal.press(&["Down", "Down", "Down", "Right"]);
        terminal.until_that("the third holds longer", |shown| {
            shown.lines().any(|line| line.trim_start().starts_with('3') && line.contains(" 250 ms "))
        });
        terminal.press(&["BTab"]);
        claimers(&terminal, 2);
        terminal.press(&["Up", "Left", "Left", "Left"]);
        terminal.until_that("the first does not hold at all", |shown| {
            shown.lines().any(|line| line.trim_start().starts_with('1') && line.contains(" 0 ms "))
        });
        terminal.press(&["BTab", "BTab", "BTab"]);
        claimers(&terminal, 0);
        terminal.press(&["Tab"]);
        claimers(&terminal, 1);
        terminal.press(&["q"]);
        is_summed_up(&terminal);
    }
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let servers = servers();
    for (arguments, end) in [("", "Ctrl-C"), ("", "TERM"), ("", "resize"), ("--for 3s", "time")] {
        let terminal = working(&servers, arguments);
        match end {
            "Ctrl-C" => terminal.press(&["C-c"]),
            "TERM" => terminal.signal("-TERM"),
            "resize" => {
                terminal.resize("40", "10");
                terminal.press(&["q"]);
            }
            _ => {}
        }
        is_summed_up(&terminal);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn keys_that_come_together_with_a_new_size_are_all_heard() {
    let servers = servers();
    let mut terminal = Pseudoterminal::run(&command(&servers, "--claimers 1 --hold 1s"));
    terminal.resize(100);
    terminal.until("echo001");
    // The thread that reads finds both when it gets to run at last.
    terminal.starve("keys");
    for number in 2..=100 {
        terminal.resize_and_press(100 + number, b"\t");
        // One claimer more has a state, in a row of its own.
        terminal.until(&format!("\x1b[{};9H", number + 4));
    }
}

#[test]
fn whoever_insists_is_not_kept() {
    // Nobody serves the claims, which are waited for at the end.
    let terminal =
        Terminal::run(&format!("{} --bootstrap 127.0.0.1:1", example("tcp_echo_workload").display()));
    terminal.until("waiting");
    terminal.press(&["q"]);
    terminal.until("the line before");
    terminal.signal("-TERM");
    let shown = terminal.ends(1);
    assert!(!shown.contains("claims_ok"), "{shown}");
}

#[test]
fn a_line_a_second_where_no_screen_is_wanted_or_there_is_none() {
    let servers = servers();
    for arguments in ["--for 2s --headless", "--for 2s < /dev/null", "--for 2s --tracing"] {
        let terminal = Terminal::run(&command(&servers, arguments));
        let shown = terminal.ends(0);
        assert!(shown.contains(" claims/s   echo001 "), "{arguments}: {shown}");
    }
}
