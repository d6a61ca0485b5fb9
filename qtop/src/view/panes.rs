//! What is opened beside the table: the details of a backend, and the help.

use std::time::Duration;

use ratatui::text::{Line, Span};

use super::look::{Look, bold, wrap};
use crate::keys::TABLE;
use crate::model::row::Row;
use crate::model::{Model, figures};

/// How wide the names of the details are.
const LABEL: usize = 12;

/// The details of a backend, and why it is as it is.
pub(crate) fn detail(model: &Model, row: Option<&Row<'_>>, look: Look, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut say = |label: &str, text: String| {
        if text.is_empty() {
            return;
        }
        let mut label = look.fit(label, LABEL, false);
        for part in wrap(&text, width.saturating_sub(LABEL)) {
            lines.push(Line::from(vec![Span::styled(label, bold()), Span::raw(part)]));
            label = " ".repeat(LABEL);
        }
    };
    let queue = model.explanation.as_ref().map(|explanation| explanation.queue.to_string());
    let queue = queue.unwrap_or_default();
    if let Some(row) = row {
        let why = model.explanation.as_ref().and_then(|explanation| explanation.backends.get(row.key));
        say("name", row.name().to_owned());
        say("address", row.address().to_owned());
        say("state", state(row, look));
        say("why", why.map(ToString::to_string).unwrap_or_default());
        say("queue", queue);
        say("slots", slots(row));
        say("trouble", trouble(row));
        say("last error", row.set.last_error.as_deref().unwrap_or_default().to_owned());
        say("held", held(model, row));
    } else {
        say("", "there is no backend here".to_owned());
        say("queue", queue);
    }
    lines
}

fn state(row: &Row<'_>, look: Look) -> String {
    let set = row.set;
    let parts = [
        Some(look.state_words(row.state())).filter(|words| !words.is_empty()),
        set.online.map(|online| if online { "online" } else { "offline" }.to_owned()),
        set.in_set
            .map(|known| if known { "known to the resolver" } else { "gone from the resolver" }.to_owned()),
        set.priority.map(|priority| format!("priority {priority}")),
        set.weight.map(|weight| format!("weight {weight}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn slots(row: &Row<'_>) -> String {
    let set = row.set;
    let draining = set.draining_slots.map(|draining| format!(", {} draining", figures::count(draining)));
    format!(
        "{} connecting, {} unclaimed, {} checking, {} claimed{}; {} claims so far",
        figures::count(set.connecting_slots),
        figures::count(set.unclaimed_slots),
        figures::count(set.checking_slots),
        figures::count(set.claimed_slots),
        draining.unwrap_or_default(),
        figures::count(set.total_claims),
    )
}

fn trouble(row: &Row<'_>) -> String {
    let set = row.set;
    let parts = [
        set.failures.map(|failures| format!("{} failures of late", figures::count(failures))),
        set.connect_failures.map(|failures| format!("{} connects failed so far", figures::count(failures))),
        set.next_attempt_in_ms
            .map(|in_ms| format!("next try in {}", figures::span(Duration::from_millis(in_ms)))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The handles of this backend among those that were held longest.
fn held(model: &Model, row: &Row<'_>) -> String {
    let handles = model.frame.iter().flat_map(|frame| &frame.handles);
    let held = handles.filter(|handle| handle.backend == *row.key).map(|handle| {
        let span = figures::span(Duration::from_millis(handle.held_ms));
        let label = handle.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default();
        format!("slot {} for {span}{label}", handle.slot_id)
    });
    held.collect::<Vec<_>>().join(", ")
}

/// The help, from the line that it is scrolled to.
pub(crate) fn help(from: usize, look: Look, height: usize) -> Vec<Line<'static>> {
    let from = from.min(TABLE.len().saturating_sub(height));
    let line = |binding: &crate::keys::Binding| {
        let keys = Span::styled(look.fit(binding.keys, 8, false), bold());
        Line::from(vec![keys, Span::raw(binding.does)])
    };
    TABLE.iter().skip(from).map(line).collect()
}
