//! What happened to a pool can be written down, and replays.

use std::fs;
use std::path::PathBuf;

use qorb_core::record::{Replayed, replay};
use qorb_tests::sim::script::{Act, Method};

use super::Rig;

fn log(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Claims, failures, a backend that comes, and time that passes.
fn live(rig: &Rig) {
    let held: Vec<_> = (0..10).map(|_| rig.claim()).collect();
    rig.pass(40_000);
    drop(held);
    rig.script.set("a", Method::Check, Act::FAIL);
    rig.script.set("a", Method::Acquire, Act::FAIL.after(3));
    rig.sets.publish(&["a", "b"]);
    rig.pass(40_000);
    drop(rig.claim());
    rig.claim().discard();
    rig.pass(1_000);
}

fn replayed(rig: &Rig, name: &str) -> (String, Replayed) {
    let path = log(name);
    rig.pool.record_to(&path).expect("it can be written");
    let text = fs::read_to_string(&path).expect("it was written");
    let replayed = replay(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    (text, replayed)
}

#[test]
fn a_log_of_all_that_happened_since_replays() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    drop(rig.claim());
    rig.pool.record(100_000);
    live(&rig);
    let (text, whole) = replayed(&rig, "whole.log");
    for said in [" claim c", " returned s", " checked s", " acquire failed s", "b1 added", " broken"] {
        assert!(text.contains(said), "{said} is missing in\n{text}");
    }
    assert!(whole.events > 60, "{whole:?}");
    rig.end();
}

#[test]
fn only_the_latest_events_are_remembered_and_they_replay() {
    let rig = Rig::new(&["a"]);
    rig.pool.record(7);
    live(&rig);
    let (_, latest) = replayed(&rig, "latest.log");
    assert_eq!(latest.events, 7);
    rig.pass(100_000);
    let (_, later) = replayed(&rig, "later.log");
    assert_eq!(later.events, 7);
    rig.end();
}

#[test]
fn a_pool_that_looks_out_for_faults_of_its_own_works_under_any_policy() {
    let rig = Rig::with(&["a"], |policy| policy.max_slots = usize::MAX);
    let path = log("faults.log");
    rig.pool.record_faults_to(50, &path);
    live(&rig);
    let (_, latest) = replayed(&rig, "sound.log");
    assert_eq!(latest.events, 50);
    assert!(!path.exists(), "nothing is wrong with it");
    rig.end();
}

#[test]
fn a_pool_that_remembers_nothing_says_what_to_do() {
    let rig = Rig::new(&["a"]);
    let error = rig.pool.record_to(log("nothing.log")).expect_err("nothing is remembered").to_string();
    assert!(error.contains("call `Pool::record` first"), "{error}");
    rig.pool.record(10);
    rig.pool.record_to(log("nothing.log")).expect("it begins with nothing");
    rig.pool.record(0);
    assert!(rig.pool.record_to(log("nothing.log")).is_err());
    rig.end();
}
