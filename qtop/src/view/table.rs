//! The table of backends: which columns there is room for, and their rows.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::look::{Look, bold, breadth};
use crate::model::Desk;
use crate::model::row::{Column, Row};

/// What a name gets before another column does.
const NAME: usize = 16;
/// The narrowest line of recent rates, and the widest.
const RECENT: (usize, usize) = (8, 40);

/// The columns of a table, with their widths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Columns(Vec<(Column, usize)>);

impl Columns {
    /// Those that there is room for: what is missed least is left out first.
    pub(crate) fn fitting(rows: &[Row<'_>], width: usize) -> Self {
        let longest = natural(Column::Name, rows);
        let least = longest.min(NAME);
        let mut room = width.saturating_sub(least);
        let mut chosen = vec![(Column::Name, least)];
        for column in Column::BY_WORTH.into_iter().skip(1) {
            let wide = if column == Column::Recent { RECENT.0 } else { natural(column, rows) };
            if wide == 0 {
                continue;
            }
            let Some(rest) = room.checked_sub(wide + 1) else { break };
            room = rest;
            chosen.push((column, wide));
        }
        for (growing, most) in [(Column::Name, longest), (Column::Recent, RECENT.1)] {
            for (_, wide) in chosen.iter_mut().filter(|(column, _)| *column == growing) {
                let more = room.min(most - *wide);
                *wide += more;
                room -= more;
            }
        }
        Self::sorted(chosen)
    }

    /// All of them but the line of recent rates, as wide as what stands in them.
    pub(crate) fn all(rows: &[Row<'_>]) -> Self {
        let columns = Column::ALL.into_iter().filter(|column| *column != Column::Recent);
        Self(columns.map(|column| (column, natural(column, rows))).filter(|(_, wide)| *wide > 0).collect())
    }

    fn sorted(mut chosen: Vec<(Column, usize)>) -> Self {
        chosen.sort_by_key(|(column, _)| Column::ALL.iter().position(|other| other == column));
        Self(chosen)
    }

    /// The headings, the one that is sorted by marked.
    pub(crate) fn headings(&self, desk: &Desk, look: Look) -> Line<'static> {
        let cells = self.0.iter().map(|(column, wide)| {
            let mut heading = column.heading().to_owned();
            let sorted = *column == desk.sort;
            if sorted {
                heading.push(look.arrow(desk.reversed));
            }
            Span::styled(look.fit(&heading, *wide, column.is_number()), bold())
        });
        spaced(cells)
    }

    /// A backend.
    pub(crate) fn row(&self, row: &Row<'_>, look: Look) -> Line<'static> {
        spaced(self.0.iter().map(|(column, wide)| {
            let (text, style) = if *column == Column::State {
                (look.state_words(row.state()), look.state(row.state()))
            } else if *column == Column::Recent {
                (row.history().map_or_else(String::new, |history| look.line(history, *wide)), Style::new())
            } else {
                (column.text(row), Style::new())
            };
            Span::styled(look.fit(&text, *wide, column.is_number()), style)
        }))
    }
}

/// How wide a column wants to be: room for its heading and the mark that it is sorted by, and for what
/// stands in it. A column of addresses that nobody tells is not there.
fn natural(column: Column, rows: &[Row<'_>]) -> usize {
    let heading = column.heading().len() + 1;
    match column {
        Column::Name => rows.iter().map(|row| breadth(row.name())).fold(heading, usize::max),
        Column::Address => match rows.iter().map(|row| breadth(row.address())).max() {
            None | Some(0) => 0,
            Some(widest) => widest.max(heading),
        },
        Column::State => "? untried".len(),
        Column::Claims
        | Column::Recent
        | Column::Connecting
        | Column::Unclaimed
        | Column::Checking
        | Column::Claimed
        | Column::Failures
        | Column::NextTry
        | Column::Total => heading,
    }
}

fn spaced(cells: impl Iterator<Item = Span<'static>>) -> Line<'static> {
    let mut spans = Vec::new();
    for cell in cells {
        if !spans.is_empty() {
            spans.push(Span::raw(" "));
        }
        spans.push(cell);
    }
    Line::from(spans)
}

/// The headings and the rows around the one that is pointed at, in so many lines.
pub(crate) fn lines(
    rows: &[Row<'_>],
    pointed: usize,
    desk: &Desk,
    look: Look,
    (width, height): (usize, usize),
) -> Vec<Line<'static>> {
    let columns = Columns::fitting(rows, width);
    let mut lines = vec![columns.headings(desk, look)];
    let fit = height.saturating_sub(1);
    let first = pointed.saturating_sub(fit / 2).min(rows.len().saturating_sub(fit));
    for (place, row) in rows.iter().enumerate().skip(first).take(fit) {
        let line = columns.row(row, look);
        lines.push(if place == pointed { line.patch_style(Modifier::REVERSED) } else { line });
    }
    lines
}
