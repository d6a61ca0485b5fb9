//! A load on a screen, where claimers can be added, removed, and told how long to hold.

use std::io;
use std::time::Duration;

use qorb_driver::{Connector, Pool, Runtime};
use qtop::model::figures;
use qtop::screen::{Input, Inputs, Screen};
use qtop::view::look::{Look, bold, breadth, dim, wrap};
use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use smol::future::or;

use crate::claimer::{Doing, Seen};
use crate::exchange::Exchange;
use crate::load::Load;
use crate::watch::Watch;

/// What an arrow changes the hold time by.
const STEP: Duration = Duration::from_millis(100);
/// How often the screen is drawn when no key is pressed.
const TICK: Duration = Duration::from_millis(200);
/// The keys, for the foot of the screen.
const KEYS: &str = "q quit  Tab add  Shift-Tab remove  Up/Down select  Left/Right hold -/+ 100 ms";
const HEADINGS: [(&str, usize); 6] = [
    ("CLAIMER", 7),
    ("STATE", 9),
    ("HOLD", 8),
    ("SUCCESSES", 9),
    ("SERVER FAILURES", 15),
    ("CLAIM FAILURES", 14),
];

/// What is drawn.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Picture {
    title: String,
    backends: Vec<String>,
    claimers: Vec<Seen>,
    selected: usize,
}

/// Shows a load until so long after its beginning, or until its user has seen enough, and gives the terminal
/// back. Whoever wants to end the program for good after that is heard by what it returns.
///
/// # Errors
///
/// There is no terminal, or it is gone.
pub async fn show<K, R>(
    end: Option<Duration>,
    runtime: &R,
    pool: &Pool<K, R>,
    load: &Load,
    watch: &mut Watch<R>,
    hold: Duration,
) -> io::Result<Inputs>
where
    K: Connector<Connection: Exchange>,
    R: Runtime,
{
    let look =
        Look { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()), ascii: false };
    let mut inputs = Inputs::listen()?;
    let mut screen = Screen::take()?;
    let mut selected = 0;
    while end.is_none_or(|end| watch.elapsed() < end) {
        let (title, backends) = watch.news(pool, load);
        let claimers = load.claimers();
        selected = selected.min(claimers.len().saturating_sub(1));
        let picture = Picture { title, backends, claimers, selected };
        screen.draw(|frame| draw(frame, &picture, look))?;
        let tick = async {
            runtime.sleep_until(runtime.now().after(TICK)).await;
            None
        };
        let Some(input) = or(async { Some(inputs.next().await) }, tick).await else { continue };
        let code = match input {
            Input::End => break,
            Input::Resized => continue,
            Input::Key(code) => code,
        };
        match order(code) {
            None => {}
            Some(Order::Quit) => break,
            Some(Order::Add) => load.add(runtime, pool, hold),
            Some(Order::Remove) => load.remove(),
            Some(Order::Select(places)) => selected = selected.saturating_add_signed(places),
            Some(Order::Hold(change)) => {
                if let Some(seen) = picture.claimers.get(selected) {
                    load.set_hold(selected, change(seen.hold));
                }
            }
        }
    }
    Ok(inputs)
}

/// What a key asks for.
enum Order {
    Quit,
    Add,
    Remove,
    Select(isize),
    Hold(fn(Duration) -> Duration),
}

fn order(code: KeyCode) -> Option<Order> {
    let table = [
        (KeyCode::Char('q'), Order::Quit),
        (KeyCode::Tab, Order::Add),
        (KeyCode::BackTab, Order::Remove),
        (KeyCode::Down, Order::Select(1)),
        (KeyCode::Up, Order::Select(-1)),
        (KeyCode::Right, Order::Hold(|hold| hold.saturating_add(STEP))),
        (KeyCode::Left, Order::Hold(|hold| hold.saturating_sub(STEP))),
    ];
    table.into_iter().find(|(key, _)| *key == code).map(|(_, order)| order)
}

fn draw(frame: &mut Frame<'_>, picture: &Picture, look: Look) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut lines = vec![Line::styled(picture.title.clone(), bold())];
    lines.extend(wrap(&picture.backends.join("   "), width).into_iter().map(Line::from));
    let headings = HEADINGS.map(|(heading, wide)| look.fit(heading, wide, true));
    lines.extend([Line::default(), Line::styled(headings.join(" "), bold())]);

    let fit = height.saturating_sub(lines.len() + 1);
    let (selected, all) = (picture.selected, picture.claimers.len());
    let first = selected.saturating_sub(fit / 2).min(all.saturating_sub(fit));
    for (place, seen) in picture.claimers.iter().enumerate().skip(first).take(fit) {
        let line = row(place, seen, look);
        lines.push(if place == selected { line.patch_style(Modifier::REVERSED) } else { line });
    }
    lines.resize(height.saturating_sub(1), Line::default());
    let keys = look.fit(KEYS, breadth(KEYS).min(width), false);
    lines.push(Line::styled(keys, dim()));
    let buffer = frame.buffer_mut();
    for (y, line) in (area.y..area.bottom()).zip(&lines) {
        buffer.set_line(area.x, y, line, area.width);
    }
}

fn row(place: usize, seen: &Seen, look: Look) -> Line<'static> {
    let (doing, colour) = match seen.doing {
        Doing::Waiting => ("waiting", Color::Yellow),
        Doing::Asking => ("asking", Color::Cyan),
        Doing::Holding => ("holding", Color::Green),
        Doing::Resting => ("resting", Color::Red),
    };
    let cells = [
        (place + 1).to_string(),
        doing.to_owned(),
        format!("{} ms", seen.hold.as_millis()),
        figures::count(seen.successes),
        figures::count(seen.server_failures),
        figures::count(seen.claim_failures),
    ];
    let spans = cells.into_iter().zip(HEADINGS).enumerate().flat_map(|(place, (cell, (_, wide)))| {
        let style = if place == 1 { look.colour(colour) } else { Style::new() };
        [Span::styled(look.fit(&cell, wide, true), style), Span::raw(" ")]
    });
    Line::from(spans.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn screen(claimers: usize, selected: usize, (width, height): (u16, u16)) -> String {
        let seen = |number: usize| Seen {
            doing: [Doing::Waiting, Doing::Asking, Doing::Holding, Doing::Resting][number % 4],
            hold: STEP * u32::try_from(number).expect("there are few"),
            successes: 123_456 * number as u64,
            server_failures: number as u64,
            claim_failures: 1,
        };
        let picture = Picture {
            title: "tcp_echo_workload on tokio   12 s   4321 claims/s".to_owned(),
            backends: ["echo001 8 slots (2 claimed)", "echo002 down", "echo003 7 slots (1 claimed)"]
                .map(str::to_owned)
                .to_vec(),
            claimers: (0..claimers).map(seen).collect(),
            selected,
        };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("it is made of memory");
        let look = Look { colour: false, ascii: false };
        terminal.draw(|frame| draw(frame, &picture, look)).expect("it is made of memory");
        terminal.backend().to_string()
    }

    #[test]
    fn claimers_on_screens_of_any_size() {
        for (claimers, selected, size) in [(0, 0, (80, 24)), (5, 1, (80, 12)), (200, 150, (40, 10))] {
            let name = format!("{claimers}_claimers_on_{}_by_{}", size.0, size.1);
            insta::assert_snapshot!(name, screen(claimers, selected, size));
        }
        for width in 1..90 {
            for height in 1..12 {
                screen(5, 4, (width, height));
            }
        }
    }
}
