//! What keys do to the model.

use crossterm::event::KeyCode;

use super::Model;
use crate::keys::{self, Order};

/// What only the edge can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// To end.
    Quit,
    /// To ask the server for frames every so many seconds.
    Interval(u8),
    /// To ask it for its pools, and turn to the next.
    NextPool,
    /// To ask it why everything is as it is.
    Explain,
}

/// The longest filter, in characters.
const LONGEST: usize = 100;

impl Model {
    /// A key was pressed.
    pub fn pressed(&mut self, code: KeyCode) -> Option<Wish> {
        self.message = None;
        if self.desk.typing {
            self.typed(code);
            return None;
        }
        keys::order(code).and_then(|order| self.obey(order))
    }

    fn typed(&mut self, code: KeyCode) {
        let desk = &mut self.desk;
        if code == KeyCode::Enter {
            desk.typing = false;
        } else if code == KeyCode::Esc {
            desk.typing = false;
            desk.filter.clear();
        } else if code == KeyCode::Backspace {
            desk.filter.pop();
        } else if let Some(c) = code.as_char().filter(|c| !crate::frame::is_treacherous(*c))
            && desk.filter.chars().count() < LONGEST
        {
            desk.filter.push(c);
        }
    }

    fn obey(&mut self, order: Order) -> Option<Wish> {
        let page = isize::try_from(self.desk.page).unwrap_or(isize::MAX);
        match order {
            Order::Quit => return Some(Wish::Quit),
            Order::Down => self.step(1),
            Order::Up => self.step(-1),
            Order::PageDown if self.reads() => self.desk.read += self.desk.page,
            Order::PageUp if self.reads() => self.desk.read = self.desk.read.saturating_sub(self.desk.page),
            Order::PageDown => self.step(page),
            Order::PageUp => self.step(-page),
            Order::First => self.step(isize::MIN),
            Order::Last => self.step(isize::MAX),
            Order::SortNext => self.sort(1),
            Order::SortPrevious => self.sort(-1),
            Order::Reverse => self.desk.reversed = !self.desk.reversed,
            Order::Filter => self.desk.typing = true,
            Order::Pause => self.desk.paused = !self.desk.paused,
            Order::Detail => {
                self.desk.detail = !self.desk.detail;
                (self.desk.help, self.desk.read) = (None, 0);
                return self.desk.detail.then_some(Wish::Explain);
            }
            Order::Slower => return self.interval(self.seconds.saturating_add(1)),
            Order::Faster => return self.interval((self.seconds - 1).max(1)),
            Order::NextPool => return Some(Wish::NextPool),
            Order::Help => self.desk.help = if self.desk.help.is_none() { Some(0) } else { None },
            Order::Back => self.back(),
        }
        None
    }

    fn interval(&mut self, seconds: u8) -> Option<Wish> {
        (seconds != self.seconds).then_some(Wish::Interval(seconds))
    }

    /// Whether a screen further is one of the details.
    pub(crate) fn reads(&self) -> bool {
        self.desk.detail && self.desk.help.is_none()
    }

    /// Moves the pointer, or scrolls the help where that is open.
    fn step(&mut self, places: isize) {
        if let Some(line) = self.desk.help {
            self.desk.help = Some(line.saturating_add_signed(places).min(keys::TABLE.len() - 1));
            return;
        }
        let rows = self.rows();
        let last = rows.len().saturating_sub(1);
        let place = self.pointed(&rows).saturating_add_signed(places).min(last);
        let pointed = rows.get(place).map(|row| (row.key.clone(), place));
        (self.desk.pointed, self.desk.read) = (pointed, 0);
    }

    fn sort(&mut self, places: isize) {
        self.desk.sort = self.desk.sort.beside(places);
        self.desk.reversed = false;
        self.message = Some(format!("sorted by {}", self.desk.sort.heading()));
    }

    fn back(&mut self) {
        if self.desk.help.take().is_some() {
            return;
        }
        if self.desk.detail {
            self.desk.detail = false;
        } else {
            self.desk.filter.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::row::Column;

    fn model(names: &[&str]) -> Model {
        let mut model = Model::new("here".to_owned(), 2, Duration::ZERO);
        show(&mut model, names);
        model
    }

    fn show(model: &mut Model, names: &[&str]) {
        let sets: Vec<_> =
            names.iter().map(|name| format!(r#""{name}":{{"total_claims":{}}}"#, name.len())).collect();
        model.heard(format!(r#"{{"sets":{{{}}}}}"#, sets.join(",")).as_bytes(), Duration::ZERO);
    }

    fn press(model: &mut Model, keys: &str) -> Option<Wish> {
        keys.chars().fold(None, |_, c| model.pressed(KeyCode::Char(c)))
    }

    fn pointed(model: &Model) -> String {
        let rows = model.rows();
        rows[model.pointed(&rows)].name().to_owned()
    }

    #[test]
    fn the_pointer_stays_with_its_backend() {
        let mut model = model(&["a", "b", "c", "d"]);
        press(&mut model, "jj");
        assert_eq!(pointed(&model), "c");
        show(&mut model, &["0", "a", "b", "c", "d"]);
        assert_eq!(pointed(&model), "c");
        show(&mut model, &["a", "b", "d"]);
        assert_eq!(pointed(&model), "d", "it has its place");
        press(&mut model, "jjjjj");
        assert_eq!(pointed(&model), "d");
        press(&mut model, "g");
        assert_eq!(pointed(&model), "a");
        press(&mut model, "Gk");
        assert_eq!(pointed(&model), "b");
        model.desk.page = 7;
        model.pressed(KeyCode::PageUp);
        assert_eq!(pointed(&model), "a");
        model.pressed(KeyCode::PageDown);
        assert_eq!(pointed(&model), "d");
        show(&mut model, &[]);
        press(&mut model, "jkgG");
        assert!(model.rows().is_empty());
    }

    #[test]
    fn rows_are_sorted_by_any_column_either_way() {
        let mut model = model(&["a", "ccc", "bb"]);
        let names = |model: &Model| model.rows().iter().map(|row| row.name().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&model), ["a", "bb", "ccc"]);
        press(&mut model, "<");
        assert_eq!(model.desk.sort, Column::Total);
        assert_eq!(names(&model), ["ccc", "bb", "a"]);
        press(&mut model, "r");
        assert_eq!(names(&model), ["a", "bb", "ccc"]);
        press(&mut model, "sr");
        assert_eq!(names(&model), ["ccc", "bb", "a"]);
        press(&mut model, "s>");
        assert_eq!(model.desk.sort, Column::State);
    }

    #[test]
    fn a_filter_is_written_kept_and_cleared() {
        let mut model = model(&["Alpha", "beta", "qam"]);
        press(&mut model, "/qA");
        assert_eq!(model.rows().len(), 1, "a key is a letter here");
        model.pressed(KeyCode::Backspace);
        model.pressed(KeyCode::Backspace);
        press(&mut model, "a\u{7}l");
        model.pressed(KeyCode::Enter);
        assert_eq!((pointed(&model).as_str(), model.desk.typing), ("Alpha", false));
        model.pressed(KeyCode::Esc);
        assert_eq!(model.rows().len(), 3);
        press(&mut model, "/");
        press(&mut model, &"x".repeat(LONGEST * 2));
        assert_eq!(model.desk.filter.len(), LONGEST);
        model.pressed(KeyCode::Esc);
        assert_eq!((model.desk.filter.as_str(), model.desk.typing), ("", false));
    }

    #[test]
    fn what_the_edge_has_to_do_is_wished_for() {
        let mut model = model(&["a"]);
        assert_eq!(press(&mut model, "q"), Some(Wish::Quit));
        assert_eq!(press(&mut model, "+"), Some(Wish::Interval(3)));
        assert_eq!(press(&mut model, "-"), Some(Wish::Interval(1)));
        model.seconds = 1;
        assert_eq!(press(&mut model, "-"), None);
        model.seconds = 255;
        assert_eq!(press(&mut model, "+"), None);
        assert_eq!(model.pressed(KeyCode::Tab), Some(Wish::NextPool));
        assert_eq!(model.pressed(KeyCode::Enter), Some(Wish::Explain));
        assert_eq!(model.pressed(KeyCode::Enter), None);
        press(&mut model, "?jjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjj");
        assert_eq!(model.desk.help, Some(keys::TABLE.len() - 1));
        press(&mut model, "g?");
        assert_eq!(model.desk.help, None);
        assert_eq!(press(&mut model, " "), None);
        assert!(model.desk.paused);
    }
}
