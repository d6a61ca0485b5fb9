//! The program `sim`: what it prints, what it writes, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Ended {
    code: Option<i32>,
    out: String,
    error: String,
}

/// Runs it in a folder of its own.
fn sim(folder: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).current_dir(folder).output();
    let output = output.expect("it was built with the tests");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    Ended { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

fn story() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("logs/pool_story.log");
    fs::read_to_string(path).expect("the story is kept")
}

#[test]
fn a_log_that_replays_is_a_good_end() {
    let folder = folder("replays");
    fs::write(folder.join("story.log"), story()).expect("it can be written");
    let ended = sim(&folder, &["replay", "story.log"]);
    let summary = ended.out.lines().last().expect("a line of JSON");
    assert_eq!((ended.code, ended.error.as_str()), (Some(0), ""));
    for part in ["\"machine\":\"pool\"", "\"violations\":0", "\"events_per_second\":"] {
        assert!(summary.contains(part), "{summary}");
    }
}

#[test]
fn a_log_that_differs_is_shown_and_ends_with_1() {
    let folder = folder("differs");
    let other = story().replacen("    connect s1 b0", "    connect s9 b0", 1);
    fs::write(folder.join("other.log"), other).expect("it can be written");
    let ended = sim(&folder, &["replay", "other.log"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.out.contains("the log says 'connect s9 b0', the machine does 'connect s1 b0'"),
        "{}",
        ended.out
    );
    assert_eq!(ended.out.lines().filter(|line| line.contains(" | ")).count(), 6, "{}", ended.out);
    assert!(ended.out.ends_with("\"violations\":1}\n"), "{}", ended.out);
}

#[test]
fn a_log_in_which_a_rule_is_broken_is_shown_and_ends_with_1() {
    let folder = folder("broken");
    let other = story().replacen("\n0 backends", "\n0 resume c0\n0 backends", 1);
    fs::write(folder.join("broken.log"), other).expect("it can be written");
    let ended = sim(&folder, &["replay", "broken.log"]);
    assert_eq!(ended.code, Some(1));
    let rule = "after the event in line 3: embedder: c0 resumes, and is Free";
    assert!(ended.out.starts_with(rule) && ended.out.ends_with("\"violations\":1}\n"), "{}", ended.out);
}

#[test]
fn what_cannot_be_carried_out_ends_with_2_and_says_why() {
    let folder = folder("refused");
    fs::write(folder.join("foreign.log"), "hello\n").expect("it can be written");
    fs::write(folder.join("cut.log"), &story()[..2_000]).expect("it can be written");
    let cases: [(&[&str], &str); 11] = [
        (&["replay", "foreign.log"], "foreign.log: this is not a log of qorb"),
        (&["replay", "cut.log"], "get a whole copy"),
        (&["replay", "missing.log"], "missing.log: "),
        (&["replay"], "<FILE>"),
        (&["explore", "--without", "cut"], "nothing of the kind cut ever happens to a pool"),
        (
            &["explore", "--with", "moves", "--without", "moves"],
            "moves is asked for, and asked not to happen",
        ),
        (&["walk", "--seeds", "0"], "--seeds"),
        (&["fleet", "--out", "cut.log"], "cut.log: "),
        (&["fleet", "--scenario", "nonsense"], "steady, one-dies"),
        (&["fleet", "--for", "1"], "such as 10s"),
        (&["fleet", "--for", "0s"], "it must be some time"),
    ];
    for (arguments, reason) in cases {
        let ended = sim(&folder, arguments);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.error.contains(reason), "{arguments:?}: {}", ended.error);
    }
}

#[test]
fn a_fleet_is_a_table_and_a_chart() {
    let folder = folder("fleet");
    let arguments = ["fleet", "--pools", "5", "--backends", "10", "--for", "1m", "--scenario", "one-dies"];
    let ended = sim(&folder, &[&arguments[..], &["--out", "charts"]].concat());
    assert_eq!((ended.code, ended.error.as_str()), (Some(0), ""), "{}", ended.out);
    assert!(ended.out.lines().filter(|line| line.starts_with("  ok ")).count() >= 4, "{}", ended.out);
    let chart = fs::read_to_string(folder.join("charts/one-dies.svg")).expect("a chart was drawn");
    assert!(chart.starts_with("<svg") && chart.matches("<polyline").count() > 4);
}

#[test]
fn a_fleet_that_fails_a_line_ends_with_1_and_leaves_a_log_that_replays() {
    let folder = folder("fails");
    // Two backends that accept eight connections in forty seconds do not have them in thirty.
    let arguments = "fleet --scenario all-die --pools 1 --backends 2 --for 3600s --seed 1";
    let ended = sim(&folder, &arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    assert!(ended.out.contains("FAILED") && ended.out.contains("fleet-all-die.log"), "{}", ended.out);
    assert!(ended.out.contains(&format!("\n  sim {arguments}\n")), "{}", ended.out);
    assert_eq!(sim(&folder, &["replay", "fleet-all-die.log"]).code, Some(0));
}

#[test]
fn what_went_wrong_is_told_also_where_its_log_cannot_be_written() {
    let folder = folder("nowhere");
    fs::create_dir_all(folder.join("fleet-all-die.log")).expect("a folder can be made");
    let arguments = "fleet --scenario all-die --pools 1 --backends 2 --for 3600s --seed 1";
    let ended = sim(&folder, &arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    assert!(ended.out.contains("FAILED") && ended.out.contains("\"transcripts\":[]"), "{}", ended.out);
    assert!(
        ended.error.starts_with("error: what led to it is not in fleet-all-die.log: "),
        "{}",
        ended.error
    );
}

#[test]
fn worlds_are_walked_through_one_for_each_seed() {
    let folder = folder("walked");
    for (arguments, counted) in
        [("walk --seeds 3", "granted"), ("walk --seeds 2 --seed 31 --driver", "calls")]
    {
        let ended = sim(&folder, &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!((ended.code, ended.error.as_str()), (Some(0), ""), "{}", ended.out);
        for part in [counted, "\"transcript\":null", "\"violations\":0"] {
            assert!(ended.out.contains(part), "{}", ended.out);
        }
        assert!(!ended.out.contains("\"events\":0"), "{}", ended.out);
    }
}

#[test]
fn a_world_that_is_too_large_is_explored_up_to_its_limit() {
    let folder = folder("limited");
    let machines = [
        ("explore --limit 2000 --table", "| unclaimed | claimed |"),
        ("explore --machine resolver --limit 500 --without hints", "\"without\":[\"hints\"]"),
    ];
    for (arguments, part) in machines {
        let ended = sim(&folder, &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, Some(0), "{}", ended.out);
        assert!(ended.out.contains("\"complete\":false") && ended.out.contains(part), "{}", ended.out);
    }
}

#[test]
fn a_small_world_is_explored_whole() {
    let folder = folder("explored");
    for spares in ["0", "1"] {
        let arguments = ["explore", "--backends", "1", "--slots", "1", "--claims", "1", "--spares", spares];
        let ended = sim(&folder, &arguments);
        assert_eq!(ended.code, Some(0), "{}", ended.out);
        for part in ["\"complete\":true", "\"owed\":[]", "\"violations\":0"] {
            assert!(ended.out.contains(part), "{}", ended.out);
        }
    }
}
