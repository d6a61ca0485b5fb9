//! A terminal: a tmux server of its own, with one window, in which a shell runs one program.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything here takes, even where a test shares its processor with many.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What the shell says when the program has ended.
const ENDED: &str = "it ended with ";

/// A terminal in which a program runs. Both are gone when this is dropped.
pub(crate) struct Terminal {
    folder: PathBuf,
}

impl Terminal {
    /// Runs a program, as a shell is told to, on a terminal of 80 by 24.
    pub(crate) fn run(program: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("qtop-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir_all(&folder).expect("there is room for a folder");
        let script = format!(
            "cd {}\necho 'the line before'\nstty -g > before\nsh -c 'echo $$ > pid; exec {program}'\n\
             code=$?\nstty -g > after\nstty -a > settings\necho \"{ENDED}$code\"\nread -r line\n",
            folder.display()
        );
        fs::write(folder.join("script"), script).expect("there is room for a file");
        let terminal = Self { folder };
        let script = format!("sh {}", terminal.folder.join("script").display());
        // Without its user's settings, and as it is everywhere.
        let arguments = ["-f", "/dev/null", "-u", "new-session", "-d", "-x", "80", "-y", "24", &script];
        terminal.tmux(&arguments);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        let command = command
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .env_remove("RUST_BACKTRACE")
            .env("LC_ALL", "C.UTF-8");
        let output = command.arg("-S").arg(self.folder.join("tmux")).args(arguments).output();
        let output = output.expect("tmux is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys, by tmux's names of them.
    pub(crate) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    pub(crate) fn resize(&self, width: &str, height: &str) {
        self.tmux(&["resize-window", "-x", width, "-y", height]);
    }

    /// What is on it.
    pub(crate) fn shows(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with the sequences that colour it.
    pub(crate) fn shows_with_colours(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until something is on it.
    pub(crate) fn until(&self, what: &str) -> String {
        self.until_that(what, |shown| shown.contains(what))
    }

    /// Waits until it is as it should be.
    pub(crate) fn until_that(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let shown = self.shows();
            if is_it(&shown) {
                return shown;
            }
            assert!(begin.elapsed() < PATIENCE, "it never shows {what}:\n{shown}");
        }
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.pid()]).status().expect("there is a kill");
        assert!(sent.success(), "it does not run");
    }

    fn pid(&self) -> String {
        self.read("pid")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).expect("the script has written it").trim().to_owned()
    }

    /// Waits until the program has ended with that exit code, and sees that the terminal is as it was: its
    /// settings, its first screen with what was on it, its cursor. Returns what is on it.
    pub(crate) fn ends(&self, code: i32) -> String {
        self.until(ENDED);
        let shown = self.tmux(&["capture-pane", "-p", "-J", "-S", "-1000"]);
        assert!(shown.contains(&format!("{ENDED}{code}\n")), "{shown}");
        assert!(shown.starts_with("the line before\n"), "{shown}");
        let settings = self.read("settings");
        for sane in ["icanon", "echo", "isig", "opost", "icrnl"] {
            assert!(settings.split_whitespace().any(|setting| setting == sane), "no {sane}: {settings}");
        }
        assert_eq!(self.read("before"), self.read("after"), "{settings}");
        let modes = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(modes, "0 1\n", "it is on the other screen, or has no cursor: {modes}");
        shown
    }

    /// Closes the window under the program, and waits until that has ended.
    pub(crate) fn vanishes(&self) {
        let pid = self.pid();
        self.tmux(&["kill-server"]);
        let begin = Instant::now();
        let runs =
            || Command::new("kill").args(["-0", &pid]).output().is_ok_and(|output| output.status.success());
        while runs() {
            assert!(begin.elapsed() < PATIENCE, "it runs on without a terminal");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
        // What is left of it is in nobody's way.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
