//! Screens, as people see them: each is a snapshot.

use std::fmt::Write;
use std::time::Duration;

use crossterm::event::KeyCode;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::frame::Explanation;

const PLAIN: Look = Look { colour: false, ascii: false };
const SIZES: [(u16, u16); 3] = [(40, 10), (80, 24), (160, 50)];

/// The frame of a pool with so many backends, `second` seconds after its beginning. The second backend is
/// down, the third one is not known any more.
fn frame(backends: usize, second: u64) -> String {
    let mut sets = String::new();
    for number in 1..=backends as u64 {
        let (standing, online, trouble) = match number {
            2 => (
                "down",
                false,
                r#""last_error":"Connection refused (os error 111)","next_attempt_in_ms":1234,"connect_failures":7,"failures":3"#,
            ),
            _ => (
                "up",
                true,
                r#""last_error":null,"next_attempt_in_ms":null,"connect_failures":0,"failures":0"#,
            ),
        };
        let total = if online { (number % 7 + 1) * second * second } else { 0 };
        let comma = if number > 1 { "," } else { "" };
        let _ = write!(
            sets,
            r#"{comma}"echo{number:03}.test.com.@[::1]:{port}":{{"checking_slots":0,"claimed_slots":{claimed},"connecting_slots":{connecting},
            "total_claims":{total},"unclaimed_slots":{unclaimed},"name":"echo{number:03}.test.com.","address":"[::1]:{port}","priority":0,
            "weight":10,"online":{online},"in_set":{known},"standing":"{standing}","draining_slots":0,{trouble}}}"#,
            port = 6_000 + number,
            claimed = u8::from(online) * 2,
            connecting = u8::from(!online),
            unclaimed = u8::from(online) * 3,
            known = number != 3,
        );
    }
    format!(
        r#"{{"version":1,"name":"tcp_echo_workload","at_ms":{at},"ended":false,"claims":5,"total_claims":{total},
        "granted_at_once":12345,"granted_after_waiting":67,"denied":{{"NoBackends":2,"AllClaimsUsed":1,"Terminated":0}},"cancelled":4,
        "waiting":3,"wait":{{"count":9,"sum_us":9,"p50_us":20,"p99_us":1500}},"hold":{{"count":9,"sum_us":9,"p50_us":20400,"p99_us":25000}},
        "handles":[{{"slot_id":3,"claim_id":9,"backend":"echo001.test.com.@[::1]:6001","held_ms":1234,"label":"checkout"}}],"sets":{{{sets}}}}}"#,
        at = second * 1_000,
        total = second * second * 10,
    )
}

/// A pool that was watched for ten seconds.
fn watched(backends: usize) -> Model {
    let mut model = Model::new("ws://127.0.0.1:42069/qtop/stats".to_owned(), 1, Duration::ZERO);
    for second in 1..=10 {
        model.heard(frame(backends, second).as_bytes(), Duration::from_secs(second));
    }
    model
}

fn drawn(model: &Model, look: Look, second: u64, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("it is made of memory");
    terminal
        .draw(|frame| draw(frame, model, look, Duration::from_secs(second)))
        .expect("it is made of memory");
    terminal
}

fn screen(model: &Model, look: Look, second: u64, size: (u16, u16)) -> String {
    drawn(model, look, second, size).backend().to_string()
}

#[test]
fn pools_of_any_size_on_screens_of_any_size() {
    for backends in [0, 3, 200] {
        for size in SIZES {
            let name = format!("{backends}_backends_on_{}_by_{}", size.0, size.1);
            insta::assert_snapshot!(name, screen(&watched(backends), PLAIN, 10, size));
        }
    }
}

#[test]
fn the_help() {
    let mut model = watched(3);
    model.pressed(KeyCode::Char('?'));
    insta::assert_snapshot!("help_on_80_by_24", screen(&model, PLAIN, 10, SIZES[1]));
    for _ in 0..99 {
        model.pressed(KeyCode::Down);
    }
    insta::assert_snapshot!("help_scrolled_on_40_by_10", screen(&model, PLAIN, 10, SIZES[0]));
}

#[test]
fn the_details_of_a_backend() {
    let mut model = watched(3);
    let why = r#"{"version":1,"queue":"Three claims wait, the oldest for 1.2 s: all slots are claimed.","backends":{
        "echo002.test.com.@[::1]:6002":"It is down since 4 s, for its latest connect was refused; it is tried again in 1.2 s."}}"#;
    model.explanation = Some(serde_json::from_str::<Explanation>(why).expect("it is one"));
    model.pressed(KeyCode::Enter);
    model.pressed(KeyCode::Down);
    for size in SIZES {
        insta::assert_snapshot!(
            format!("detail_on_{}_by_{}", size.0, size.1),
            screen(&model, PLAIN, 10, size)
        );
    }
    (model.desk.page, model.desk.read) = (7, furthest(&model, PLAIN, 40, 10));
    assert_eq!(model.desk.read, 13);
    insta::assert_snapshot!("detail_scrolled_on_40_by_10", screen(&model, PLAIN, 10, SIZES[0]));
    model.pressed(KeyCode::PageUp);
    assert_eq!(model.desk.read, 6);
    model.pressed(KeyCode::PageDown);
    assert_eq!(model.desk.read, 13);
    model.pressed(KeyCode::Up);
    assert_eq!(model.desk.read, 0, "another backend's details are read from the first line");
    model.explanation = None;
    insta::assert_snapshot!("detail_without_explanation", screen(&model, PLAIN, 10, SIZES[1]));
}

#[test]
fn a_filter_while_it_is_written_and_after() {
    let mut model = watched(200);
    for c in "/O01".chars() {
        model.pressed(KeyCode::Char(c));
    }
    insta::assert_snapshot!("filter_is_written", screen(&model, PLAIN, 10, SIZES[1]));
    model.pressed(KeyCode::Enter);
    model.pressed(KeyCode::Char('<'));
    model.pressed(KeyCode::Char('G'));
    insta::assert_snapshot!("filter_is_kept", screen(&model, PLAIN, 10, SIZES[1]));
}

#[test]
fn a_link_that_is_not_what_it_was() {
    let mut model = watched(3);
    insta::assert_snapshot!("stale", screen(&model, PLAIN, 14, SIZES[1]));
    model.heard(b"{\"sets\":7}", Duration::from_secs(14));
    insta::assert_snapshot!("bad_frame", screen(&model, PLAIN, 14, SIZES[1]));
    model.lost(
        "Connection refused (os error 111)".to_owned(),
        Duration::from_secs(2),
        Duration::from_secs(15),
    );
    for size in &SIZES[..2] {
        let name = format!("reconnecting_on_{}_by_{}", size.0, size.1);
        insta::assert_snapshot!(name, screen(&model, PLAIN, 15, *size));
    }
    let before = Model::new("ws://h:1/qtop/stats".to_owned(), 1, Duration::ZERO);
    insta::assert_snapshot!("connecting", screen(&before, PLAIN, 3, SIZES[0]));
}

#[test]
fn what_is_not_of_now_is_dimmed_and_only_that() {
    let model = watched(3);
    let dimmed = |second| {
        let terminal = drawn(&model, PLAIN, second, SIZES[1]);
        let cell = terminal.backend().buffer().cell((0, 9)).cloned().expect("it is on the screen");
        (cell.symbol().to_owned(), cell.modifier.contains(ratatui::style::Modifier::DIM))
    };
    assert_eq!(dimmed(10), ("e".to_owned(), false));
    assert_eq!(dimmed(14), ("e".to_owned(), true));
}

#[test]
fn ascii_is_nothing_but_ascii_whatever_the_names_are() {
    let look = Look { ascii: true, ..PLAIN };
    let mut model = watched(3);
    insta::assert_snapshot!("ascii", screen(&model, look, 10, SIZES[1]));
    model.heard(
        r#"{"name":"größe","sets":{"日本語":{"total_claims":1}}}"#.as_bytes(),
        Duration::from_secs(11),
    );
    for open in [KeyCode::Enter, KeyCode::Char('?')] {
        model.pressed(open);
        assert!(screen(&model, look, 11, SIZES[1]).is_ascii());
    }
}

#[test]
fn an_original_server_is_shown_with_blanks() {
    let mut model = Model::new("ws://h:1/qtop/stats".to_owned(), 1, Duration::ZERO);
    for second in 1..=3 {
        let json = format!(
            r#"{{"claims":5,"sets":{{"[::1]:6001":{{"checking_slots":0,"claimed_slots":1,"connecting_slots":0,"total_claims":{},"unclaimed_slots":7}}}}}}"#,
            second * 5
        );
        model.heard(json.as_bytes(), Duration::from_secs(second));
    }
    model.pressed(KeyCode::Enter);
    insta::assert_snapshot!("original", screen(&model, PLAIN, 3, SIZES[1]));
}

#[test]
fn colours_come_only_where_they_are_wanted() {
    let colours = |look| {
        let terminal = drawn(&watched(3), look, 10, SIZES[1]);
        let cells = terminal.backend().buffer().content.clone();
        cells.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert_eq!(colours(PLAIN), 0);
    assert!(colours(Look { colour: true, ..PLAIN }) > 0);
}

#[test]
fn no_screen_is_too_small_and_no_state_breaks_one() {
    let mut model = watched(30);
    for keys in ["", "G", "?", "?\n", "/x"] {
        for c in keys.chars() {
            model.pressed(if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) });
        }
        for width in (0..30).chain([79, 300]) {
            for height in 0..30 {
                drawn(&model, Look { colour: true, ascii: false }, 99, (width, height));
            }
        }
    }
}
