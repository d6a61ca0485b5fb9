//! A terminal that is always given back: when its user ends the program, when a signal does, and when a part
//! of it panics.

use std::io::{self, Stdout, stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use async_signal::{Signal, Signals};
use crossterm::cursor::{Hide, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};
use smol::channel::{Receiver, bounded};
use smol::future::or;
use smol::stream::StreamExt;

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, while it is ours.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be set up; it is then as it was.
    pub fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let next = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                // What it says is to be read on the screen that stays.
                give_back();
                next(info);
            }));
        });
        TAKEN.store(true, Ordering::SeqCst);
        let set_up = || {
            enable_raw_mode()?;
            execute!(stdout(), EnterAlternateScreen, Hide)?;
            Terminal::new(CrosstermBackend::new(stdout()))
        };
        match set_up() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws all of it; what has not changed is not sent.
    ///
    /// # Errors
    ///
    /// The terminal is gone, or was given back because a part of the program panicked.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if !TAKEN.load(Ordering::SeqCst) {
            return Err(io::Error::other("a part of the program panicked"));
        }
        self.terminal.draw(draw).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Once: a second time would move the cursor back over what was written since.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // There may be no terminal any more, and nobody to tell.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// What comes from whoever sits at the terminal, or from the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// A key was pressed.
    Key(KeyCode),
    /// The screen has another size.
    Resized,
    /// It has to end: Ctrl-C, a signal, or the terminal is gone.
    End,
}

/// Keys and signals. Once there is one, the signals that would end the program come here, for as long as it
/// runs.
#[derive(Debug)]
pub struct Inputs {
    events: Receiver<Event>,
    signals: Signals,
}

#[cfg(unix)]
const SIGNALS: [Signal; 3] = [Signal::Hup, Signal::Int, Signal::Term];
#[cfg(not(unix))]
const SIGNALS: [Signal; 1] = [Signal::Int];

impl Inputs {
    /// Begins to listen, to the keys on a thread of their own.
    ///
    /// # Errors
    ///
    /// The system gives no signals, or no thread.
    pub fn listen() -> io::Result<Self> {
        let signals = Signals::new(SIGNALS)?;
        let (tell, events) = bounded(64);
        let read = move || while event::read().is_ok_and(|event| tell.send_blocking(event).is_ok()) {};
        std::thread::Builder::new().name("keys".to_owned()).spawn(read)?;
        Ok(Self { events, signals })
    }

    /// Waits for the next. Nothing is lost when it is dropped meanwhile.
    pub async fn next(&mut self) -> Input {
        let signal = async {
            self.signals.next().await;
            Input::End
        };
        let event = async {
            loop {
                match self.events.recv().await {
                    Err(_) => return Input::End,
                    Ok(event) => {
                        if let Some(input) = input(&event) {
                            return input;
                        }
                    }
                }
            }
        };
        or(signal, event).await
    }

    /// Waits for a signal to end. The keys are nobody's affair any more.
    pub async fn end(mut self) -> io::Error {
        self.signals.next().await;
        io::Error::from(io::ErrorKind::Interrupted)
    }
}

fn input(event: &Event) -> Option<Input> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) if key.modifiers.contains(KeyModifiers::CONTROL) => {
            (key.code == KeyCode::Char('c')).then_some(Input::End)
        }
        Event::Key(key) => Some(Input::Key(key.code)),
        Event::Resize(..) => Some(Input::Resized),
        Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn ctrl_c_ends_whatever_is_open_and_no_other_letter_does() {
        let key = |code, modifiers| input(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::End));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Some(Input::Key(KeyCode::Char('c'))));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::CONTROL), None);
        assert_eq!(key(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Input::Key(KeyCode::Char('G'))));
        let released = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(input(&Event::Key(released)), None);
    }
}
