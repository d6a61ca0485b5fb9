//! What is said of a queue and of a backend.

use std::fmt;
use std::time::Duration;

use super::{Case, Gap, SlotKind, Standing, Subject};

/// A duration as people say it.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            millis @ ..1000 => write!(f, "{millis} ms"),
            millis @ ..10_000 => write!(f, "{}.{} s", millis / 1000, millis % 1000 / 100),
            millis @ ..120_000 => write!(f, "{} s", millis / 1000),
            millis @ ..7_200_000 => write!(f, "{} min", millis / 60_000),
            millis => write!(f, "{} h", millis / 3_600_000),
        }
    }
}

/// So many of these.
fn many(count: impl Into<u64>, one: &str) -> String {
    match count.into() {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}

/// Why claims wait.
pub(super) fn queue(case: &Case, waiting: usize, oldest: Option<Duration>) -> String {
    if case.ending {
        return "the pool has ended, and nobody is served any more".to_owned();
    }
    let Some(oldest) = oldest else { return "nobody waits".to_owned() };
    let wait = if waiting == 1 { "waits" } else { "wait, the oldest" };
    format!("{} {wait} for {}: {}", many(waiting as u64, "claim"), Span(oldest), obstacle(case))
}

/// What keeps them.
fn obstacle(case: &Case) -> String {
    let (counts, connecting) = (case.machine.wanted(), case.machine.wanted().of(SlotKind::Connecting));
    let in_set = || case.machine.census().filter(|view| view.in_set);
    let mut parts = Vec::new();
    if in_set().next().is_none() {
        return "the resolver knows no backend".to_owned();
    }
    if counts.connected() == 0 {
        parts.push("no backend is connected".to_owned());
    } else if counts.of(SlotKind::Unclaimed) > 0 {
        parts.push("what is idle is of suspect backends, which have one claim out at a time".to_owned());
    } else {
        let busy = counts.of(SlotKind::Checking) + counts.of(SlotKind::Recycling);
        let (connected, held) = (counts.connected(), counts.held());
        if held > 0 {
            parts.push(format!("{held} of {} in claimers' hands", many(connected, "connection")));
        }
        if busy > 0 {
            parts.push(format!("{busy} of {} being checked or recycled", many(connected, "connection")));
        }
    }
    let slots = case.machine.wanted().total() + case.machine.draining().total();
    if connecting > 0 {
        parts.push(format!("{} under way", many(connecting, "connect")));
    }
    if slots as usize >= case.machine.policy().max_slots {
        parts.push(format!("and the pool has its max_slots of {}", case.machine.policy().max_slots));
    } else if connecting == 0
        && in_set().all(|view| view.next_attempt.is_some())
        && let Some(next) = in_set().filter_map(|view| view.next_attempt).min()
    {
        parts.push(format!("the next may be dialled in {}", Span(next.since(case.now))));
    }
    parts.join(", ")
}

/// Why a backend has what it has.
pub(super) fn backend(of: &Subject<'_>) -> String {
    let mut parts = vec![slots(of)];
    if of.position.is_none() {
        parts.push("it has left the resolver's set, and what claimers still have of it is closed when they return it"
                .to_owned());
    }
    parts.extend(place(of));
    parts.extend(gap(of));
    parts.push(standing(of));
    parts.extend(failures(of));
    parts.join("; ")
}

/// What it has, and what it should have.
fn slots(of: &Subject<'_>) -> String {
    let kinds = [
        ("connecting", &[SlotKind::Connecting][..]),
        ("unclaimed", &[SlotKind::Unclaimed]),
        ("checking", &[SlotKind::Checking, SlotKind::Recycling]),
        ("claimed", &[SlotKind::Granted, SlotKind::Acquiring, SlotKind::Claimed]),
        ("closing", &[SlotKind::Aborting, SlotKind::Closing]),
    ];
    let counted = kinds.into_iter().map(|(name, kinds)| {
        let count: u32 = kinds.iter().map(|kind| of.view.counts.of(*kind)).sum();
        (name, count)
    });
    let counted: Vec<_> =
        counted.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}")).collect();
    let total = of.view.counts.total();
    match (total, of.position) {
        (0, None) => "it has no slot".to_owned(),
        (0, Some(position)) => format!("it has no slot, and a share of {}", position.share),
        (_, None) => format!("it has {} ({})", many(total, "slot"), counted.join(", ")),
        (_, Some(position)) => {
            let slots = many(total, "slot");
            format!("it has {slots} ({}), and a share of {}", counted.join(", "), position.share)
        }
    }
}

/// Why that is its share.
fn place(of: &Subject<'_>) -> Option<String> {
    let position = of.position?;
    let priority = of.view.backend.priority;
    if !position.is_open {
        return Some(format!(
            "priority {priority} is not in use while one before it works or is yet to be tried"
        ));
    }
    let rank = format!("it is number {} of {} at priority {priority}", position.rank, position.peers);
    let target = of.case.machine.intent().target;
    let wanted = many(target, "slot");
    Some(if position.share > 0 {
        format!("{rank}, and among those that share the {wanted} that the pool wants")
    } else if position.is_probed {
        format!("{rank}, and wanted for the {wanted} of the pool once it works, so that it is probed")
    } else if target == 0 {
        format!("{rank}, and the pool wants no slot")
    } else if of.view.standing == Standing::Up && position.slots == 0 && of.view.next_attempt.is_some() {
        format!("{rank}, and gets none before it may be dialled")
    } else {
        format!("{rank}, and there are enough before it for the {wanted} that the pool wants")
    })
}

/// Why it has not what it should.
fn gap(of: &Subject<'_>) -> Option<String> {
    let position = of.position?;
    let (policy, intent) = (of.case.machine.policy(), of.case.machine.intent());
    Some(match position.gap? {
        Gap::Pausing => "more are opened once it may be dialled".to_owned(),
        Gap::SetFull => format!("it has its max_count of {}", policy.set_config.max_count),
        Gap::PoolFull => format!("the pool has its max_slots of {}", policy.max_slots),
        Gap::Dialling => "more are opened once connects that are under way have ended".to_owned(),
        Gap::RoomKept => "the last free slot is kept for a backend that is down".to_owned(),
        Gap::NotYet => "more are opened with the next plan".to_owned(),
        Gap::Surplus => {
            let at = if position.is_open { intent.rebalance_at } else { intent.tiers_close_at };
            match of.case.until(at) {
                Some(left) => {
                    format!("what is too much is given up once it is idle, in {} at the earliest", Span(left))
                }
                None => "that is more than its share for now".to_owned(),
            }
        }
    })
}

/// Whether it works, and since when.
fn standing(of: &Subject<'_>) -> String {
    let (view, since) = (&of.view, Span(of.since));
    let online = view.counts.connected() > 0;
    let error = of.last_error.as_ref().map(|error| format!(", its latest error being: {error}"));
    let error = error.unwrap_or_default();
    match view.standing {
        _ if online && view.suspect => {
            format!("it has been online for {since}, and is suspect since something failed lately{error}")
        }
        _ if online => format!("it has been online for {since}"),
        Standing::Untried => format!("it has been untried for {since}{error}"),
        Standing::Down => format!("it is down, offline for {since}{error}"),
        Standing::Up => format!("it has been offline for {since}{error}"),
    }
}

/// What was tried, and what will be.
fn failures(of: &Subject<'_>) -> Option<String> {
    let view = &of.view;
    let next = of.case.until(view.next_attempt).map(|left| format!("it may be dialled in {}", Span(left)));
    let failed = (view.failures > 0).then(|| {
        let row = many(view.failures, "failed attempt");
        format!("{row} in a row and {} ever", many(of.connect_failures, "failed connect"))
    });
    match (failed, next) {
        (Some(failed), Some(next)) => Some(format!("{failed}, and {next}")),
        (failed, next) => failed.or(next),
    }
}
