//! Draws a model, from 40 by 10 cells up; smaller ones show what fits.
//!
//! - [`look`]: colours, glyphs and widths; `table`: the backends; `panes`: details and help.

pub mod look;
mod panes;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ratatui::Frame;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};

use crate::frame::{SlotSet, Spread, Text};
use crate::model::row::State;
use crate::model::status::Link;
use crate::model::{Model, figures};
use look::{Look, bold, breadth, dim};

/// What the lines of a screen are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Plan {
    totals: usize,
    table: usize,
    pane: usize,
}

/// One line is the title's and one the foot's.
fn plan(model: &Model, height: usize) -> Plan {
    let body = height.saturating_sub(2);
    if model.desk.help.is_some() {
        return Plan { totals: 0, table: 0, pane: body };
    }
    let totals = match height {
        0..8 => 0,
        8..16 => 1,
        16.. => 6,
    };
    let rest = body - totals;
    let pane = match rest {
        _ if !model.desk.detail => 0,
        0..16 => rest,
        // The backend itself, and those beside it.
        16.. => rest - (rest / 3).clamp(4, 12),
    };
    Plan { totals, table: rest - pane, pane }
}

/// How many backends a screen of so many lines shows.
#[must_use]
pub fn page(model: &Model, height: u16) -> usize {
    plan(model, height.into()).table.saturating_sub(1).max(1)
}

/// How far the details can be scrolled on a screen of this size.
#[must_use]
pub fn furthest(model: &Model, look: Look, width: u16, height: u16) -> usize {
    let (rows, pane) = (model.rows(), plan(model, height.into()).pane);
    let detail = panes::detail(model, rows.get(model.pointed(&rows)), look, width.into());
    detail.len().saturating_sub(pane)
}

/// Draws a model as it is at `now`.
pub fn draw(frame: &mut Frame<'_>, model: &Model, look: Look, now: Duration) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let lines = lines(model, look, now, (width, height));
    let buffer = frame.buffer_mut();
    for (y, line) in (area.y..area.bottom()).zip(&lines) {
        buffer.set_line(area.x, y, line, area.width);
    }
    if look.ascii {
        // Names are what they are; here is what is left of them.
        for cell in buffer.content.iter_mut().filter(|cell| !cell.symbol().is_ascii()) {
            cell.set_char('?');
        }
    }
}

fn lines(model: &Model, look: Look, now: Duration, (width, height): (usize, usize)) -> Vec<Line<'static>> {
    let plan = plan(model, height);
    let fresh = model.status(now).fresh;
    let mut lines = vec![title(model, look, now, width)];
    let mut body = match plan.totals {
        0 => Vec::new(),
        1 => vec![shortly(model, look, width)],
        _ => totals(model, look, width),
    };
    let rows = model.rows();
    let pointed = model.pointed(&rows);
    if plan.table > 0 {
        let mut table = table::lines(&rows, pointed, &model.desk, look, (width, plan.table));
        if rows.is_empty() {
            table.push(Line::from(nothing(model)));
        }
        table.resize(plan.table, Line::default());
        body.append(&mut table);
    }
    let mut pane = match model.desk.help {
        Some(from) => panes::help(from, look, plan.pane),
        None if plan.pane > 0 => panes::detail(model, rows.get(pointed), look, width),
        None => Vec::new(),
    };
    pane.drain(..model.desk.read.min(pane.len().saturating_sub(plan.pane)));
    pane.resize(plan.pane, Line::default());
    body.append(&mut pane);
    let dimmed = !fresh && model.desk.help.is_none();
    lines.extend(body.into_iter().map(|line| if dimmed { line.patch_style(dim()) } else { line }));
    lines.push(foot(model, look, rows.len(), pointed, width));
    lines
}

fn nothing(model: &Model) -> &'static str {
    match &model.frame {
        None => "nothing was heard yet",
        Some(frame) if frame.sets.is_empty() => "the pool has no backends",
        Some(_) => "no backend passes the filter",
    }
}

/// The pool, how the link is, and the server where there is room for it.
fn title(model: &Model, look: Look, now: Duration, width: usize) -> Line<'static> {
    let status = model.status(now);
    let colour = if status.fresh { Color::Green } else { Color::Red };
    let name = look.fit(model.name(), breadth(model.name()).min(width * 2 / 5), false);
    let room = width.saturating_sub(breadth(&name) + 2);
    let words = look.fit(&status.words, breadth(&status.words).min(room), false);
    let rest = room - breadth(&words);
    let mut spans = vec![Span::styled(name, bold()), Span::raw("  ")];
    spans.push(Span::styled(words, look.colour(colour).patch(bold())));
    if breadth(&model.address) + 2 <= rest {
        spans.push(Span::styled(look.fit(&model.address, rest, true), dim()));
    }
    Line::from(spans)
}

/// What is most worth knowing, in one line.
fn shortly(model: &Model, look: Look, width: usize) -> Line<'static> {
    let mut parts = vec![format!("{} claims/s", figures::rate(model.claims().per_second()))];
    if let Some(frame) = &model.frame {
        parts.extend(frame.waiting.map(|waiting| format!("{} waiting", figures::count(waiting))));
        parts.extend(frame.wait.map(|wait| format!("p99 {}", micros(wait.p99_us))));
    }
    let text = parts.join(", ") + " ";
    let line = look.line(model.claims().history(), width.saturating_sub(breadth(&text)).min(60));
    Line::from(vec![Span::raw(text), Span::styled(line, look.colour(Color::Cyan))])
}

/// All that is known about the pool as a whole, in six lines, the last one empty.
fn totals(model: &Model, look: Look, width: usize) -> Vec<Line<'static>> {
    let rate = figures::rate(model.claims().per_second());
    let head = look.fit(&format!("claims/s {rate}"), 16, false);
    let tail = format!(" {} so far, every {} s", figures::count(model.total_claims), model.seconds);
    let room = width.saturating_sub(breadth(&head) + breadth(&tail));
    let history = model.claims().history();
    let line = look.fit(&look.line(history, room.min(60)), room.min(60), true);
    let mut lines = vec![Line::from(vec![
        Span::styled(head, bold()),
        Span::styled(line, look.colour(Color::Cyan)),
        Span::raw(tail),
    ])];
    lines.extend([waits(model), grants(model), backends(model), slots(model), String::new()].map(Line::from));
    lines
}

fn micros(micros: u64) -> String {
    figures::span(Duration::from_micros(micros))
}

fn waits(model: &Model) -> String {
    let Some(frame) = &model.frame else { return String::new() };
    let spread = |what: &str, spread: Option<Spread>| {
        spread.map(|spread| format!("{what} p50 {} p99 {}", micros(spread.p50_us), micros(spread.p99_us)))
    };
    let waiting = frame.waiting.map(|waiting| format!("waiting {}", figures::count(waiting)));
    joined([waiting, spread("wait", frame.wait), spread("hold", frame.hold)])
}

fn grants(model: &Model) -> String {
    let Some(frame) = &model.frame else { return String::new() };
    let part =
        |what: &str, number: Option<u64>| number.map(|number| format!("{what} {}", figures::count(number)));
    let denied = frame.denied.as_ref().map(|denied| {
        let some: Vec<(&Text, &u64)> = denied.iter().filter(|(_, number)| **number > 0).collect();
        let sum = some.iter().fold(0_u64, |sum, (_, number)| sum.saturating_add(**number));
        let why = some.iter().map(|(reason, number)| format!("{reason} {}", figures::count(**number)));
        let why = why.collect::<Vec<_>>().join(", ");
        format!("denied {}{}", figures::count(sum), if why.is_empty() { why } else { format!(" ({why})") })
    });
    joined([
        part("granted at once", frame.granted_at_once),
        part("after waiting", frame.granted_after_waiting),
        part("cancelled", frame.cancelled),
        denied,
    ])
}

fn backends(model: &Model) -> String {
    let Some(frame) = &model.frame else { return String::new() };
    let count = |state: State| {
        let number = model.backends().filter(|row| row.state() == state).count();
        (number > 0 && state != State::Unknown).then(|| format!("{number} {}", state.words().2))
    };
    let states = [State::Up, State::Untried, State::Down, State::Leaving].into_iter().filter_map(count);
    let states = states.collect::<Vec<_>>().join(", ");
    let backends = format!("backends {}", frame.sets.len());
    if states.is_empty() { backends } else { format!("{backends}: {states}") }
}

fn slots(model: &Model) -> String {
    let Some(frame) = &model.frame else { return String::new() };
    let sum = |part: fn(&SlotSet) -> u64| {
        figures::count(frame.sets.values().fold(0_u64, |sum, set| sum.saturating_add(part(set))))
    };
    format!(
        "slots {} connecting, {} unclaimed, {} checking, {} claimed",
        sum(|set| set.connecting_slots),
        sum(|set| set.unclaimed_slots),
        sum(|set| set.checking_slots),
        sum(|set| set.claimed_slots),
    )
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join("   ")
}

/// The filter while it is written, what went wrong, or the keys; and where the pointer is.
fn foot(model: &Model, look: Look, rows: usize, pointed: usize, width: usize) -> Line<'static> {
    let place = if rows == 0 { "0/0".to_owned() } else { format!("{}/{rows}", pointed + 1) };
    let (text, style) = if model.desk.typing {
        (format!("/{}_", model.desk.filter), bold())
    } else if let Some(bad) = &model.bad {
        (format!("BAD FRAME: {bad}"), look.colour(Color::Red))
    } else if let Link::Lost { why, .. } = &model.link {
        (why.clone(), look.colour(Color::Red))
    } else if let Some(message) = &model.message {
        (message.clone(), Style::new())
    } else if model.desk.filter.is_empty() {
        ("q quit  ? help  s sort  / filter  Enter details".to_owned(), dim())
    } else {
        (format!("filter /{}  Esc clears it", model.desk.filter), Style::new())
    };
    let room = width.saturating_sub(breadth(&place) + 1);
    let text = look.fit(&text, room, false);
    Line::from(vec![Span::styled(text, style), Span::raw(" "), Span::styled(place, dim())])
}
