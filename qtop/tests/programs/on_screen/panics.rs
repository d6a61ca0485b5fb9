//! A program that panics while the terminal is its own. It is this test itself, once more.

use qtop::screen::Screen;

use super::terminal::Terminal;

const WHERE: &str = "QTOP_PANICS";
const SELF: &str = "on_screen::panics::a_panic_gives_the_terminal_back";

#[test]
fn a_panic_gives_the_terminal_back() {
    match std::env::var(WHERE).as_deref() {
        Ok("here") => {
            let mut screen = Screen::take().expect("there is a terminal");
            screen.draw(|_| ()).expect("it is drawn on");
            panic!("it was meant to");
        }
        Ok(_) => elsewhere(),
        Err(_) => {
            for place in ["here", "elsewhere"] {
                let program = std::env::current_exe().expect("a test knows its program");
                let command = format!("env {WHERE}={place} {} --exact {SELF} --nocapture", program.display());
                // The tests' own exit code for a failure.
                let shown = Terminal::run(&command).ends(101);
                assert!(shown.contains("it was meant to"), "{shown}");
                assert!(!shown.contains("a stray drawing"), "{shown}");
            }
        }
    }
}

/// Another thread panics; nothing is drawn on the terminal after that.
fn elsewhere() {
    let mut screen = Screen::take().expect("there is a terminal");
    let other = std::thread::spawn(|| panic!("it was meant to"));
    assert!(other.join().is_err());
    let drawn = screen.draw(|frame| {
        frame.buffer_mut().set_string(0, 0, "a stray drawing", ratatui::style::Style::new());
    });
    drawn.expect("the terminal is not ours any more");
}
