//! qtop without a terminal: what it prints, and how it ends.

use std::process::{Child, Command, Output, Stdio};

use crate::server::{Server, Visit, frame};

/// Runs it to its end.
fn qtop(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtop"));
    command.args(arguments).stdin(Stdio::null()).env_remove("NO_COLOR").output().expect("it is built")
}

/// Runs it to its end with a server that does what it is told to.
fn watching(server: &Server, arguments: &[&str]) -> Output {
    let address = server.address().to_string();
    qtop(&[&[&*address], arguments].concat())
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is UTF-8");
    (output.status.code().expect("it ended by itself"), text(&output.stdout), text(&output.stderr))
}

fn ends(output: &Output, code: i32, reason: &str) {
    let (is, _, stderr) = said(output);
    assert!(is == code && stderr.contains(reason), "{is}: {stderr}");
}

#[test]
fn once_is_a_table_of_one_frame() {
    let server = Server::of_a_pool();
    let (code, stdout, stderr) = said(&watching(&server, &["--once"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    insta::assert_snapshot!(stdout, @r"
    tcp_echo_workload, - claims/s, 10 so far, 3 waiting
    NAME▼ ADDRESS  STATE      CLAIMS/s  CONNECTING  UNCLAIMED  CHECKING  CLAIMED  FAIL/s  NEXT TRY  TOTAL
    a.    [::1]:1  ● up              -           0          5         0        2       -               10
    b.    [::1]:2  ✗ down            -           1          0         0        0       -     1.2 s      0
    ");
    assert_eq!(server.asked(), ["GET /qtop/stats?update_secs=1 HTTP/1.1"]);
}

#[test]
fn a_pipe_gets_tables_with_rates() {
    let server = Server::of_a_pool();
    let (code, stdout, _) = said(&watching(&server, &["-n", "2", "--ascii"]));
    assert_eq!(code, 0);
    insta::assert_snapshot!(stdout, @r"
    tcp_echo_workload, - claims/s, 10 so far, 3 waiting
    NAMEv ADDRESS  STATE      CLAIMS/s  CONNECTING  UNCLAIMED  CHECKING  CLAIMED  FAIL/s  NEXT TRY  TOTAL
    a.    [::1]:1  + up              -           0          5         0        2       -               10
    b.    [::1]:2  x down            -           1          0         0        0       -     1.2 s      0

    tcp_echo_workload, 10 claims/s, 20 so far, 3 waiting
    NAMEv ADDRESS  STATE      CLAIMS/s  CONNECTING  UNCLAIMED  CHECKING  CLAIMED  FAIL/s  NEXT TRY  TOTAL
    a.    [::1]:1  + up             10           0          5         0        2       0               20
    b.    [::1]:2  x down            0           1          0         0        0     1.0     1.2 s      0
    ");
}

#[test]
fn json_is_what_the_server_says_one_object_a_line() {
    let server = Server::of_a_pool();
    let (code, stdout, _) = said(&watching(&server, &["--json", "-n", "3", "-i", "7"]));
    assert_eq!(code, 0);
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
    let lines: Vec<_> = stdout.lines().map(value).collect();
    assert_eq!(lines, [1, 2, 3].map(|second| value(&frame(second))));
    assert_eq!(server.asked(), ["GET /qtop/stats?update_secs=7 HTTP/1.1"]);
}

#[test]
fn a_pipe_that_nobody_reads_is_a_good_end() {
    let server = Server::of_a_pool();
    for form in ["--json", "--color=never"] {
        let (reader, writer) = std::io::pipe().expect("there is room for a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_qtop"));
        let command =
            command.args([&server.address().to_string(), form]).stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().and_then(Child::wait_with_output).expect("it is built");
        ends(&output, 0, "");
        assert!(output.stderr.is_empty());
    }
    // Nor what it complains about.
    let gone = Server::of_a_pool().address().to_string();
    let (reader, writer) = std::io::pipe().expect("there is room for a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_qtop"));
    let status = command.args([&gone, "--once"]).stderr(writer).status().expect("it is built");
    assert_eq!(status.code(), Some(1), "it does not panic");
}

#[test]
fn bad_input_is_refused_with_two_and_a_reason() {
    let table: [(&[&str], &str); 9] = [
        (&["wss://localhost/qtop/stats"], "'wss' is not spoken"),
        (&["localhost:0"], "no port between 1 and 65535"),
        (&["-i", "0"], "1..=255"),
        (&["-i", "256"], "1..=255"),
        (&["-n", "0"], "1.."),
        (&["--once", "-n", "2"], "cannot be used with"),
        (&["localhost", "localhost"], "unexpected argument"),
        (&["--color", "red"], "auto, always, never"),
        (&["--no-such-flag"], "--no-such-flag"),
    ];
    for (arguments, reason) in table {
        ends(&qtop(arguments), 2, reason);
    }
}

#[test]
fn failures_end_with_one_and_a_reason() {
    let gone = Server::of_a_pool().address().to_string();
    ends(&qtop(&[&gone, "--once"]), 1, "error: Connection refused");
    ends(&qtop(&[&gone, "--json", "--no-reconnect"]), 1, "error: Connection refused");

    let table: [(&str, &str); 3] = [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\npools: a\u{1b}",
            r"error: 404 Not Found pools: a\u{1b}",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "error: 200 OK"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "error: "),
    ];
    for (answer, reason) in table {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let address = listener.local_addr().expect("it listens").to_string();
        let answering = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().expect("somebody comes");
            let _ = stream.read(&mut [0; 8192]);
            stream.write_all(answer.as_bytes()).expect("somebody listens");
        });
        ends(&qtop(&[&address, "--once"]), 1, reason);
        answering.join().expect("it answered");
    }

    let silent = Server::start(Visit::keep_silent);
    ends(&watching(&silent, &["--once"]), 1, "error: nothing was heard for 10 s");
}

#[test]
fn bad_frames_are_told_and_survived() {
    let server = Server::start(|visit| {
        let good = frame(1).into_bytes();
        visit.tell("no JSON");
        visit.tell([0xff; 100]);
        visit.tell("[".repeat(1 << 20));
        // Cut off anywhere, and with any byte another.
        for at in (0..good.len() - 1).step_by(7) {
            visit.tell(&good[..at]);
            let mut bytes = good.clone();
            bytes[at] ^= 0x80;
            visit.tell(bytes);
        }
        visit.tell(&*good);
        visit.tell(r#"{"name":"the end","sets":{}}"#);
        visit.keep_silent();
    });
    let (code, stdout, stderr) = said(&watching(&server, &["--json", "-n", "2"]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.ends_with("\n{\"name\":\"the end\",\"sets\":{}}\n"), "{stdout}");
    assert!(stderr.lines().count() > 100 && stderr.contains("bad frame: expected"), "{stderr}");
    ends(&watching(&server, &["--once"]), 1, "error: bad frame: expected");
}

#[test]
fn a_frame_of_any_size_is_refused_before_it_is_kept() {
    let server = Server::start(|visit| {
        visit.tell(vec![b' '; 9 << 20]);
        visit.keep_silent();
    });
    ends(&watching(&server, &["--once"]), 1, "error: a frame of more than 8 MiB");
}

#[test]
fn no_name_steers_the_terminal() {
    let server = Server::start(|visit| {
        visit.tell("{\"name\":\"p\\u001b[2J\\u009b\",\"sets\":{\"\\u001b]0;x\\u0007\":{\"last_error\":\"\\u001bc\"}, \"\u{9b}\u{202e}\":{}}}");
        visit.close("\u{1b}[31m bye");
    });
    for form in ["--color=never", "--json"] {
        let (_, stdout, stderr) = said(&watching(&server, &[form, "--no-reconnect"]));
        let treacherous = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!stdout.contains(treacherous) && !stdout.is_empty(), "{stdout:?}");
        assert_eq!(stderr, "error: the server closed: \\u{1b}[31m bye\n");
    }
}

#[test]
fn a_lost_link_is_made_again() {
    let server = Server::start(|visit| {
        visit.tell(frame(visit.number as u64 + 1));
        visit.close("");
    });
    let (code, stdout, stderr) = said(&watching(&server, &["--json", "-n", "2"]));
    assert_eq!((code, stdout.lines().count()), (0, 2), "{stderr}");
    assert!(stderr.starts_with("qtop: the server closed the connection; trying again in "), "{stderr}");
}

#[test]
fn the_end_of_a_pool_is_a_good_end() {
    let server = Server::start(|visit| {
        visit.tell(r#"{"ended":true,"sets":{}}"#);
        visit.close("the pool has ended");
    });
    ends(&watching(&server, &["--no-reconnect"]), 0, "");
}

#[test]
fn colours_are_as_they_are_asked_for() {
    let server = Server::of_a_pool();
    let address = server.address().to_string();
    for (arguments, no_color, coloured) in [
        (&["--once"][..], None, false),
        (&["--once", "--color", "always"], None, true),
        (&["--once", "--color", "always"], Some("1"), true),
        (&["--once", "--color", "never"], None, false),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qtop"));
        let command = command.arg(&address).args(arguments).env_remove("NO_COLOR");
        let output = command.envs(no_color.map(|value| ("NO_COLOR", value))).output().expect("it is built");
        let (_, stdout, _) = said(&output);
        assert_eq!(stdout.contains('\u{1b}'), coloured, "{arguments:?}: {stdout:?}");
        assert!(stdout.contains("✗ down"), "a colour has a word beside it: {stdout:?}");
    }
}
