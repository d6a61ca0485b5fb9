//! A bare pseudoterminal: keys and sizes reach its program at the moment they are sent. It needs Linux: `/proc`, and
//! the programs of util-linux.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;
use std::{ffi, fs, thread};

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::terminal::PATIENCE;

/// A pseudoterminal on which a program runs. That ends when this is dropped.
pub(crate) struct Pseudoterminal {
    side: File,
    output: Receiver<Vec<u8>>,
    /// The program itself: what starts it becomes it.
    child: Child,
    /// What keeps a processor busy.
    busy: Option<Child>,
}

impl Pseudoterminal {
    /// Runs a program, as a shell is told to.
    pub(crate) fn run(program: &str) -> Self {
        // Ours alone, so that the terminal is gone when we are.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let side = File::from(openpt(flags).expect("there is one"));
        grantpt(&side).expect("it is ours");
        unlockpt(&side).expect("it is ours");
        let name = ptsname(&side, Vec::new()).expect("it has a name");
        let path = Path::new(ffi::OsStr::from_bytes(name.as_bytes()));
        let open = || File::options().read(true).write(true).open(path).expect("it can be used");
        // The program has it as the terminal that its keys and signals come from.
        let child = Command::new("setsid")
            .args(["--ctty", "sh", "-c", &format!("exec {program}")])
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .expect("there is a setsid");
        let (tell, output) = channel();
        let mut reads = side.try_clone().expect("it can be read");
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length) = reads.read(&mut part)
                && tell.send(part[..length].to_vec()).is_ok()
            {}
        });
        Self { side, output, child, busy: None }
    }

    /// Lets one thread of the program run only when a busy process leaves it a processor, so that it comes late
    /// often, but not always.
    pub(crate) fn starve(&mut self, thread: &str) {
        let threads = format!("/proc/{}/task", self.child.id());
        let is_it =
            |path: &Path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == thread);
        let mut paths = fs::read_dir(threads).expect("it runs").map(|entry| entry.expect("it runs").path());
        let path = paths.find(|path| is_it(path)).expect("it has such a thread");
        let id = path.file_name().and_then(ffi::OsStr::to_str).expect("it is named by its number");
        let status = fs::read_to_string(path.join("status")).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).expect("it is known");
        let processor = line.rsplit(|other: char| !other.is_ascii_digit()).next().expect("there is one");
        let run = |program: &str, arguments: &[&str]| {
            let status = Command::new(program).args(arguments).stdout(Stdio::null()).status();
            assert!(status.expect("it is a part of Linux").success(), "{program} {arguments:?}");
        };
        run("taskset", &["--cpu-list", "--pid", processor, id]);
        run("chrt", &["--idle", "--pid", "0", id]);
        // It ends with us, however we end.
        let busy = format!("while kill -0 {}; do :; done", std::process::id());
        let busy = ["--cpu-list", processor, "sh", "-c", &busy];
        self.busy = Some(Command::new("taskset").args(busy).spawn().expect("it has just run"));
    }

    /// Gives it another size and presses a key as soon as the program was told.
    pub(crate) fn resize_and_press(&mut self, columns: u16, key: &[u8]) {
        self.resize(columns);
        let end = Instant::now() + PATIENCE;
        while self.has_a_size_to_hear_of() {
            assert!(Instant::now() < end, "it takes no signals");
        }
        self.side.write_all(key).expect("it takes keys");
    }

    /// Gives it another size.
    pub(crate) fn resize(&self, columns: u16) {
        let size = Winsize { ws_row: 200, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.side, size).expect("it has a size");
    }

    /// Whether the signal that it has another size still waits for one of its threads.
    fn has_a_size_to_hear_of(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("it is told");
        let pending = u64::from_str_radix(pending.trim(), 16).expect("it is a number");
        pending >> (Signal::WINCH.as_raw() - 1) & 1 == 1
    }

    /// Waits until something has been written on it since the last call.
    pub(crate) fn until(&self, what: &str) {
        let end = Instant::now() + PATIENCE;
        let mut written = String::new();
        while !written.contains(what) {
            let left = end.saturating_duration_since(Instant::now());
            let part = self.output.recv_timeout(left);
            let part = part.unwrap_or_else(|error| panic!("it never shows {what:?}: {error}"));
            written.push_str(&String::from_utf8_lossy(&part));
        }
    }
}

impl Drop for Pseudoterminal {
    fn drop(&mut self) {
        // They may have ended by themselves.
        for child in [Some(&mut self.child), self.busy.as_mut()].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
