//! How things look: with colours or without, in ASCII or with more, and never wider than there is room.

use std::collections::VecDeque;

use crossterm::style::Stylize;
use ratatui::backend::IntoCrossterm;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

use crate::model::row::State;

/// What the terminal, and whoever looks at it, can take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Whether there are colours.
    pub colour: bool,
    /// Whether there is nothing but ASCII.
    pub ascii: bool,
}

impl Look {
    /// A colour on a ground, or nothing where there are none.
    #[must_use]
    pub fn colour(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// The colour of a state, which comes with its word.
    #[must_use]
    pub fn state(self, state: State) -> Style {
        match state {
            State::Up => self.colour(Color::Green),
            State::Untried => self.colour(Color::Yellow),
            State::Down => self.colour(Color::Red),
            State::Leaving => self.colour(Color::Magenta),
            State::Unknown => Style::new(),
        }
    }

    /// A state as it is written.
    #[must_use]
    pub fn state_words(self, state: State) -> String {
        let (glyph, ascii, word) = state.words();
        let glyph = if self.ascii { ascii } else { glyph };
        format!("{glyph} {word}").trim().to_owned()
    }

    /// What tells that a column is sorted by.
    #[must_use]
    pub fn arrow(self, reversed: bool) -> char {
        match (self.ascii, reversed) {
            (true, false) => 'v',
            (true, true) => '^',
            (false, false) => '▼',
            (false, true) => '▲',
        }
    }

    /// The latest of some numbers, as many as there is room for, as a line that goes up and down with them.
    #[must_use]
    pub fn line(self, history: &VecDeque<f64>, width: usize) -> String {
        let levels = if self.ascii { "_.:-=+*#" } else { "▁▂▃▄▅▆▇█" };
        let levels: Vec<char> = levels.chars().collect();
        let latest = history.iter().skip(history.len().saturating_sub(width));
        let highest = latest.clone().copied().fold(0.0, f64::max);
        let level = |number: &f64| {
            let share = if highest > 0.0 { number / highest } else { 0.0 };
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of the few levels"
            )]
            let level = (share * (levels.len() - 1) as f64).ceil() as usize;
            levels[level.min(levels.len() - 1)]
        };
        latest.map(level).collect()
    }

    /// A span with its colour, as a terminal is told of it.
    #[must_use]
    pub fn painted(self, span: &Span<'_>) -> String {
        match span.style.fg.filter(|_| self.colour) {
            Some(colour) => span.content.to_string().with(colour.into_crossterm()).to_string(),
            None => span.content.to_string(),
        }
    }

    /// A text that is exactly so wide: filled up, or cut off with a mark of that.
    #[must_use]
    pub fn fit(self, text: &str, width: usize, right: bool) -> String {
        let is = breadth(text);
        if is <= width {
            let fill = " ".repeat(width - is);
            return if right { fill + text } else { text.to_owned() + &fill };
        }
        let mut cut = String::new();
        let mut room = width.saturating_sub(1);
        for c in text.chars() {
            let is = breadth(c.encode_utf8(&mut [0; 4]));
            if is > room {
                break;
            }
            room -= is;
            cut.push(c);
        }
        if width > 0 {
            cut.push(if self.ascii { '~' } else { '…' });
        }
        cut + &" ".repeat(room)
    }
}

/// How many cells a text takes.
#[must_use]
pub fn breadth(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { Span::raw(text).width() }
}

/// Letters that stand out.
#[must_use]
pub fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// Letters that stand back.
#[must_use]
pub fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// Breaks a text into lines, between words where it can.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let (mut lines, mut line, mut room) = (Vec::new(), String::new(), width);
    for word in text.split_inclusive(' ') {
        if breadth(word.trim_end()) > room && !line.is_empty() {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            room = width;
        }
        for c in word.chars() {
            let is = breadth(c.encode_utf8(&mut [0; 4]));
            if is > room {
                if c == ' ' {
                    continue;
                }
                lines.push(std::mem::take(&mut line));
                room = width;
            }
            room = room.saturating_sub(is);
            line.push(c);
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { colour: false, ascii: false };

    #[test]
    fn a_text_is_as_wide_as_its_place() {
        let table = [
            ("abc", 5, false, "abc  "),
            ("abc", 5, true, "  abc"),
            ("abcdef", 5, true, "abcd…"),
            ("abc", 0, false, ""),
            ("日本語", 6, false, "日本語"),
            ("日本語", 5, false, "日本…"),
            ("日本語", 4, false, "日… "),
        ];
        for (text, width, right, fitted) in table {
            let is = LOOK.fit(text, width, right);
            assert_eq!((is.as_str(), breadth(&is)), (fitted, width), "{text} in {width}");
        }
        assert_eq!(Look { ascii: true, ..LOOK }.fit("abcdef", 5, false), "abcd~");
    }

    #[test]
    fn lines_break_between_words_where_they_can() {
        let table: [(&str, usize, &[&str]); 5] = [
            ("one two three", 7, &["one two", "three"]),
            ("one two three", 80, &["one two three"]),
            ("abcdefgh ij", 3, &["abc", "def", "gh", "ij"]),
            ("", 5, &[""]),
            ("ab", 0, &["a", "b"]),
        ];
        for (text, width, lines) in table {
            assert_eq!(wrap(text, width), lines, "{text} in {width}");
        }
    }

    #[test]
    fn a_line_goes_up_and_down_with_the_latest_numbers() {
        assert_eq!(LOOK.line(&[9.0, 0.0, 1.0, 4.0, 8.0].into(), 4), "▁▂▅█");
        assert_eq!(LOOK.line(&[0.0, 0.0].into(), 4), "▁▁");
        assert_eq!(LOOK.line(&VecDeque::new(), 4), "");
    }
}
