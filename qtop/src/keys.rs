//! The keys: one table, which the program obeys and the help prints.

use crossterm::event::KeyCode;

/// What a key asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// To end.
    Quit,
    /// The next backend.
    Down,
    /// The one before.
    Up,
    /// A screen further.
    PageDown,
    /// A screen back.
    PageUp,
    /// The first backend.
    First,
    /// The last one.
    Last,
    /// To sort by the next column.
    SortNext,
    /// To sort by the column before.
    SortPrevious,
    /// To sort the other way round.
    Reverse,
    /// To write a filter.
    Filter,
    /// To stand still, or go on.
    Pause,
    /// To open or close the details of a backend.
    Detail,
    /// A frame less often.
    Slower,
    /// A frame more often.
    Faster,
    /// The next pool.
    NextPool,
    /// To open or close the help.
    Help,
    /// To close what is open: the details, the help, the filter.
    Back,
}

/// Some keys that ask for the same.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// What is written on them.
    pub keys: &'static str,
    /// What they do.
    pub does: &'static str,
    codes: &'static [KeyCode],
    order: Order,
}

/// All keys, in the order of the help.
pub const TABLE: [Binding; 18] = [
    Binding::new("q", "quit, as Ctrl-C does", &[KeyCode::Char('q')], Order::Quit),
    Binding::new("?", "open or close this help", &[KeyCode::Char('?')], Order::Help),
    Binding::new("j Down", "next backend", &[KeyCode::Char('j'), KeyCode::Down], Order::Down),
    Binding::new("k Up", "backend before", &[KeyCode::Char('k'), KeyCode::Up], Order::Up),
    Binding::new("PgDn", "a screen further", &[KeyCode::PageDown], Order::PageDown),
    Binding::new("PgUp", "a screen back", &[KeyCode::PageUp], Order::PageUp),
    Binding::new("g Home", "first backend", &[KeyCode::Char('g'), KeyCode::Home], Order::First),
    Binding::new("G End", "last backend", &[KeyCode::Char('G'), KeyCode::End], Order::Last),
    Binding::new(
        "s >",
        "sort by the next column",
        &[KeyCode::Char('s'), KeyCode::Char('>')],
        Order::SortNext,
    ),
    Binding::new("<", "sort by the column before", &[KeyCode::Char('<')], Order::SortPrevious),
    Binding::new("r", "sort the other way round", &[KeyCode::Char('r')], Order::Reverse),
    Binding::new("/", "filter by name, address, state", &[KeyCode::Char('/')], Order::Filter),
    Binding::new("Space", "pause, or go on", &[KeyCode::Char(' ')], Order::Pause),
    Binding::new("Enter", "details of the backend", &[KeyCode::Enter], Order::Detail),
    Binding::new(
        "+",
        "a second more between frames",
        &[KeyCode::Char('+'), KeyCode::Char('=')],
        Order::Slower,
    ),
    Binding::new("-", "a second less between frames", &[KeyCode::Char('-')], Order::Faster),
    Binding::new("Tab", "next pool of the process", &[KeyCode::Tab], Order::NextPool),
    Binding::new("Esc", "close details, help, filter", &[KeyCode::Esc], Order::Back),
];

impl Binding {
    const fn new(keys: &'static str, does: &'static str, codes: &'static [KeyCode], order: Order) -> Self {
        Self { keys, does, codes, order }
    }
}

/// What a key asks for, if anything.
#[must_use]
pub fn order(code: KeyCode) -> Option<Order> {
    TABLE.iter().find(|binding| binding.codes.contains(&code)).map(|binding| binding.order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_does_one_thing() {
        let codes: Vec<_> = TABLE.iter().flat_map(|binding| binding.codes).collect();
        for code in &codes {
            assert_eq!(codes.iter().filter(|other| other == &code).count(), 1, "{code:?}");
        }
        for (at, binding) in TABLE.iter().enumerate() {
            assert!(TABLE[at + 1..].iter().all(|other| other.order != binding.order), "{binding:?}");
        }
    }

    #[test]
    fn the_readme_has_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.adoc");
        let readme = std::fs::read_to_string(path).expect("there is a readme");
        let part = readme.split("// tag::qtop-keys[]\n").nth(1).expect("it has the keys");
        let part = part.split("// end::qtop-keys[]").next().expect("they end");
        let rows: Vec<_> = part.lines().filter(|line| line.starts_with("| `")).collect();
        let wanted = TABLE.map(|binding| format!("| `{}` | {}", binding.keys, binding.does));
        assert_eq!(rows, wanted);
    }
}
