//! qtop on a terminal.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::terminal::Terminal;
use crate::server::{Server, frame};

fn watching(server: &Server, arguments: &str) -> Terminal {
    let terminal = Terminal::run(&format!("{} {} {arguments}", env!("CARGO_BIN_EXE_qtop"), server.address()));
    terminal.until("  LIVE");
    terminal
}

fn asked(server: &Server, what: &str, terminal: &Terminal) {
    terminal.until_that(what, |_| server.asked().iter().any(|line| line.contains(what)));
}

#[test]
fn every_key_does_what_the_table_says() {
    let server = Server::of_a_pool();
    let terminal = watching(&server, "");
    terminal.until("  1/2");
    terminal.press(&["j"]);
    terminal.until("  2/2");
    terminal.press(&["Up"]);
    terminal.until("  1/2");
    terminal.press(&["G"]);
    terminal.until("  2/2");
    terminal.press(&["?"]);
    terminal.until("open or close this help");
    terminal.press(&["?"]);
    terminal.until("NAME");
    terminal.press(&["s"]);
    terminal.until("sorted by ADDRESS");
    terminal.press(&["<"]);
    terminal.until("sorted by NAME");
    terminal.press(&["/", "dow", "Enter"]);
    terminal.until("filter /dow");
    terminal.until_that("one backend", |shown| shown.contains("✗ down") && !shown.contains("● up"));
    terminal.press(&["Escape"]);
    terminal.until("● up");
    terminal.press(&["Space"]);
    terminal.until("  PAUSED");
    terminal.press(&["Space"]);
    terminal.until("  LIVE");
    terminal.press(&["g", "Enter"]);
    terminal.until("It is up since the beginning.");
    terminal.until("Nobody waits.");
    asked(&server, "GET /qtop/explain HTTP/1.1", &terminal);
    terminal.press(&["Escape", "+"]);
    asked(&server, "update_secs=2 ", &terminal);
    terminal.until("every 2 s");
    terminal.press(&["-"]);
    terminal.until("every 1 s");
    terminal.press(&["Tab"]);
    asked(&server, "update_secs=1&pool=other%20pool ", &terminal);
    terminal.until("?pool=other%20pool");
    terminal.press(&["Tab"]);
    asked(&server, "update_secs=1&pool=tcp_echo_workload ", &terminal);
    terminal.press(&["q"]);
    terminal.ends(0);
}

#[test]
fn it_fits_any_size_and_is_gone_without_a_trace() {
    let server = Server::of_a_pool();
    let terminal = watching(&server, "");
    for (width, height, there) in
        [("40", "10", "3 waiting"), ("160", "50", " RECENT "), ("5", "2", "t…"), ("80", "24", "  LIVE")]
    {
        terminal.resize(width, height);
        terminal.until(there);
    }
    terminal.press(&["q"]);
    terminal.ends(0);
}

#[test]
fn ctrl_c_ends_it_whatever_is_open() {
    let server = Server::of_a_pool();
    for open in ["j", "?", "/", "Enter", "Space"] {
        let terminal = watching(&server, "");
        terminal.press(&[open, "C-c"]);
        terminal.ends(0);
    }
}

#[test]
fn signals_end_it() {
    let server = Server::of_a_pool();
    for signal in ["-TERM", "-HUP", "-INT"] {
        let terminal = watching(&server, "");
        terminal.signal(signal);
        terminal.ends(0);
    }
}

#[test]
fn it_ends_with_its_terminal() {
    let server = Server::of_a_pool();
    watching(&server, "").vanishes();
}

#[test]
fn a_server_that_is_killed_is_waited_for() {
    let server = Server::of_a_pool();
    let address = server.address();
    let terminal = watching(&server, "");
    drop(server);
    terminal.until("RECONNECTING in ");
    terminal.until("Connection refused");
    assert!(terminal.shows().contains("✗ down"), "the last data stays");
    let server = Server::start_at(address, |visit| visit.tell_all_the_time());
    terminal.until("  LIVE");
    drop(server);
    terminal.until("RECONNECTING in ");
    terminal.press(&["q"]);
    terminal.ends(0);
}

#[test]
fn a_loss_that_is_not_to_be_repaired_ends_it_with_the_reason() {
    let server = Server::of_a_pool();
    let terminal = watching(&server, "--no-reconnect");
    drop(server);
    let shown = terminal.ends(1);
    assert!(shown.contains("\nerror: "), "{shown}");
}

#[test]
fn bad_frames_are_shown_and_survived() {
    let (tell, told) = channel::<String>();
    let told = Mutex::new(told);
    let server = Server::start(move |visit| {
        visit.tell(frame(1));
        let told = told.lock().expect("nobody panics");
        for text in &*told {
            visit.tell(text);
        }
    });
    let terminal = watching(&server, "");
    for bad in ["}{", "{\"sets\":null}", "\u{1b}[2J\u{7}"] {
        tell.send(bad.to_owned()).expect("it listens");
        terminal.until("BAD FRAME: ");
        tell.send(frame(2)).expect("it listens");
        terminal.until_that("the next frame", |shown| !shown.contains("BAD FRAME"));
    }
    tell.send("{\"name\":\"\\u001b[2Jx\",\"sets\":{}}".to_owned()).expect("it listens");
    terminal.until("\\u{1b}[2Jx");
    tell.send("\"".repeat(1 << 20)).expect("it listens");
    terminal.until("BAD FRAME: ");
    terminal.press(&["q"]);
    terminal.ends(0);
}

#[test]
fn it_ends_by_itself_after_so_many_frames() {
    let server = Server::of_a_pool();
    let terminal = Terminal::run(&format!("{} {} -n 3", env!("CARGO_BIN_EXE_qtop"), server.address()));
    terminal.ends(0);
}

#[test]
fn keys_come_from_the_terminal_whatever_standard_input_is() {
    let server = Server::of_a_pool();
    let terminal = watching(&server, "< /dev/null");
    terminal.press(&["q"]);
    terminal.ends(0);
}

#[test]
fn colours_and_glyphs_are_as_they_are_asked_for() {
    let server = Server::of_a_pool();
    let coloured = |terminal: &Terminal| terminal.shows_with_colours().contains("38;5;");
    let bright = watching(&server, "");
    assert!(coloured(&bright), "{}", bright.shows_with_colours());
    let plain = watching(&server, "--ascii --color never");
    let shown = plain.until("x down");
    assert!(shown.is_ascii() && !coloured(&plain), "{shown}");
    let asked = format!("env NO_COLOR=1 {} {}", env!("CARGO_BIN_EXE_qtop"), server.address());
    let colourless = Terminal::run(&asked);
    colourless.until("● up");
    assert!(!coloured(&colourless), "{}", colourless.shows_with_colours());
    for terminal in [bright, plain, colourless] {
        terminal.press(&["q"]);
        terminal.ends(0);
    }
}
