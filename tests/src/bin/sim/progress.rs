//! What is shown on a terminal while a command is at work: one line, written over and over.

use std::io::{self, IsTerminal as _, Write as _};

/// Shows how far it is, if anybody looks.
pub(crate) fn show(line: &str) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        // Nothing is lost where a terminal does not take it.
        let _ = write!(terminal, "\r\x1b[K{line}").and_then(|()| terminal.flush());
    }
}

/// Makes room for what is said for good.
pub(crate) fn clear() {
    show("");
}

/// Says why a command was not carried out.
pub(crate) fn complain(error: &str) {
    // Nobody is left to tell where this fails.
    let _ = writeln!(io::stderr(), "error: {error}");
}
