//! What a pool says of itself: each test brings about a state, and reads what is said of it.

use std::time::Duration;

use qorb_driver::{Backend, BackendExplanation, Policy, Standing};
use qorb_tests::sim::announce::backend;
use qorb_tests::sim::script::{Act, Method, Script};

use super::{Results, Rig};

/// What the pool says of a backend.
fn of(rig: &Rig, name: &str) -> BackendExplanation {
    let explained = rig.pool.explain();
    assert!(explained.to_string().starts_with("test: "), "{explained}");
    let found = explained.backends.into_iter().find(|of| &*of.backend.name == name);
    found.unwrap_or_else(|| panic!("nothing is said of {name}"))
}

fn queue(rig: &Rig) -> String {
    rig.pool.explain().queue.sentence
}

fn tier(name: &str, priority: u16) -> Backend {
    Backend { priority, ..backend(name) }
}

/// Whether all of these clauses are said of a backend, and none of those.
fn check(rig: &Rig, name: &str, said: &[&str], unsaid: &[&str]) {
    let sentence = of(rig, name).sentence;
    for clause in said {
        assert!(sentence.contains(clause), "'{clause}' is not said of {name}: {sentence}");
    }
    for clause in unsaid {
        assert!(!sentence.contains(clause), "'{clause}' is said of {name}: {sentence}");
    }
}

#[test]
fn a_backend_that_works_and_one_that_does_not() {
    let fails = |script: &Script| script.set("b", Method::Connect, Act::FAIL.after(1));
    let rig = Rig::scripted(&["a", "b"], |policy| policy.set_config.spread = Duration::ZERO, fails);
    assert_eq!(queue(&rig), "nobody waits");
    assert!(rig.pool.explain().backends.is_empty(), "the set has not arrived");
    rig.settle();
    check(&rig, "b", &["1 connecting", "it has been untried for 0 ms"], &["failed", "it may be dialled"]);
    rig.pass(1000);
    check(
        &rig,
        "a",
        &[
            "it has 8 slots (8 unclaimed), and a share of 8",
            "number 1 of 2 at priority 0",
            "online for 1.0 s",
        ],
        &["suspect", "failed", "left", "probed"],
    );
    let stats = rig.stats("b");
    let next = stats.next_attempt_in.expect("it pauses").as_millis();
    let failures = stats.connect_failures;
    let attempts = format!("{failures} failed attempts in a row and {failures} failed connects ever");
    let expected = [
        "it has no slot, and a share of 0".to_owned(),
        "it is down, offline for 1.0 s, its latest error being: Connect fails as the script says".to_owned(),
        format!("{attempts}, and it may be dialled in {next} ms"),
        "so that it is probed; more are opened once it may be dialled".to_owned(),
    ];
    check(&rig, "b", &expected.each_ref().map(String::as_str), &["online"]);
    let (a, b) = (of(&rig, "a"), of(&rig, "b"));
    assert_eq!((a.rank, a.share, a.slots, a.online, a.standing), (1, 8, 8, true, Standing::Up));
    assert_eq!((b.rank, b.share, b.slots, b.online, b.standing), (2, 0, 0, false, Standing::Down));
    assert!(a.in_subset && b.in_subset && a.in_set && a.priority_in_use);
    assert_eq!((b.failures, b.next_attempt_in), (stats.failures, stats.next_attempt_in));
    rig.end();
}

#[test]
fn a_backend_outside_the_subset_is_told_so() {
    let rig = Rig::with(&["a", "b", "c"], |policy| policy.spares_wanted = 2);
    rig.pass(1000);
    let out = rig.pool.explain().backends.into_iter().filter(|of| !of.in_subset).collect::<Vec<_>>();
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!(out[0].rank, 3);
    let reason =
        "number 3 of 3 at priority 0, and there are enough before it for the 2 slots that the pool wants";
    assert!(out[0].sentence.contains(reason), "{}", out[0].sentence);
    rig.end();

    let rig = Rig::with(&["a"], |policy| policy.spares_wanted = 0);
    rig.pass(1000);
    check(&rig, "a", &["it has no slot", "the pool wants no slot"], &["enough before it"]);
    rig.end();
}

#[test]
fn a_backend_that_left_is_told_apart_from_one_that_is_back() {
    let rig = Rig::new(&["a"]);
    let handle = rig.claim();
    rig.sets.publish(&["b"]);
    rig.pass(100);
    check(&rig, "a", &["it has 1 slot (1 claimed); it has left the resolver's set"], &["share", "priority"]);
    assert!(!of(&rig, "a").in_set && of(&rig, "b").in_set);
    rig.sets.publish(&["a", "b"]);
    rig.pass(100);
    check(&rig, "a", &["share", "at priority 0"], &["left"]);
    drop(handle);
    rig.end();
}

#[test]
fn a_priority_that_is_not_in_use_is_told_so_and_what_it_has_left() {
    let rig = Rig::new(&[]);
    rig.sets.publish_set(vec![tier("a", 0), tier("b", 7)]);
    rig.pass(100);
    let closed = "priority 7 is not in use while one before it works";
    check(&rig, "b", &["it has no slot", closed, "untried for 100 ms"], &["number"]);
    assert!(of(&rig, "a").priority_in_use && !of(&rig, "b").priority_in_use);

    rig.script.set("a", Method::Connect, Act::FAIL.after(1));
    rig.script.set("a", Method::Check, Act::FAIL);
    rig.claim().discard();
    rig.pass(100);
    check(&rig, "b", &["it has 8 slots", "number 1 of 1 at priority 7"], &[closed]);
    rig.script.set("a", Method::Connect, Act::PASS);
    rig.pass(5000);
    let left = ["it has 8 slots (8 unclaimed), and a share of 0", closed, "given up once it is idle, in"];
    check(&rig, "b", &left, &[]);
    rig.pass(60_000);
    check(&rig, "b", &["it has no slot", closed], &["given up"]);
    rig.end();
}

#[test]
fn caps_are_told_apart() {
    let rig = Rig::with(&["a", "b"], |policy| policy.max_slots = 4);
    let handles: Vec<_> = (0..4).map(|_| rig.claim()).collect();
    rig.sets.publish(&["a", "b", "c"]);
    rig.pass(10);
    // Until a claimer returns one, there is no slot to move.
    check(&rig, "c", &["it has no slot", "the pool has its max_slots of 4"], &["max_count"]);
    drop(handles);
    rig.end();

    let hangs = |script: &Script| script.set("a", Method::Connect, Act::HANG);
    let rig = Rig::scripted(&["a"], |policy| policy.set_config.max_count = 1, hangs);
    rig.pass(10);
    check(&rig, "a", &["it has 1 slot (1 connecting)", "so that it is probed"], &["more are opened"]);
    rig.pass(10_000);
    check(&rig, "a", &["it is down", "more are opened once it may be dialled"], &["max_count"]);
    rig.end();

    let slow = |script: &Script| {
        script.once("a", Method::Connect, Act::PASS);
        script.set("a", Method::Connect, Act::PASS.after(1000));
    };
    let rig = Rig::scripted(&["a"], |policy| (policy.spares_wanted, policy.max_slots) = (12, 12), slow);
    rig.pass(10);
    let running =
        ["(8 connecting, 1 unclaimed), and a share of 12", "once connects that are under way have ended"];
    check(&rig, "a", &running, &["max_slots"]);
    rig.pass(5000);
    check(&rig, "a", &["it has 12 slots (12 unclaimed), and a share of 12"], &["under way", "too much"]);
    rig.end();
}

#[test]
fn surplus_and_a_slot_kept_back_are_explained() {
    let refuses = |script: &Script| script.set("b", Method::Connect, Act::FAIL);
    let change = |policy: &mut Policy| (policy.spares_wanted, policy.max_slots) = (8, 8);
    let rig = Rig::scripted(&["a", "b"], change, refuses);
    rig.pass(1000);
    let kept = "the last free slot is kept for a backend that is down";
    check(&rig, "a", &["it has 7 slots (7 unclaimed), and a share of 8", kept], &["too much"]);
    rig.script.set("b", Method::Connect, Act::PASS);
    rig.pass(60_000);
    check(&rig, "a", &["and a share of 4"], &[kept]);
    rig.end();

    let rig = Rig::new(&["a"]);
    let handles: Vec<_> = (0..4).map(|_| rig.claim()).collect();
    rig.pass(10);
    drop(handles);
    rig.pass(10);
    // The plan of a moment ago was for four claims more.
    check(&rig, "a", &["it has 12 slots (12 unclaimed)"], &[]);
    rig.pass(120_000);
    check(&rig, "a", &["it has 8 slots (8 unclaimed), and a share of 8"], &["too much"]);
    rig.end();
}

#[test]
fn a_suspect_is_told_so_until_it_has_proved_itself() {
    let rig = Rig::new(&["a", "b"]);
    rig.pass(100);
    let handle = rig.claim();
    let name = handle.backend.clone();
    handle.discard();
    let suspect = "is suspect since something failed lately";
    check(&rig, &name, &["it has been online for 100 ms", suspect], &[]);
    rig.pass(100);
    check(&rig, &name, &["it has been online for 200 ms"], &[suspect]);
    rig.end();
}

#[test]
fn why_claims_wait_depends_on_what_there_is() {
    let results = Results::default();
    let rig = Rig::new(&[]);
    rig.claim_in_task(1, &results);
    rig.pass(1500);
    assert_eq!(queue(&rig), "1 claim waits for 1.5 s: the resolver knows no backend");
    assert_eq!(rig.pool.explain().queue.oldest, Some(Duration::from_millis(1500)));
    rig.script.set("a", Method::Connect, Act::HANG);
    rig.sets.publish(&["a"]);
    rig.pass(500);
    assert_eq!(queue(&rig), "1 claim waits for 2.0 s: no backend is connected, 1 connect under way");
    rig.claim_in_task(2, &results);
    rig.script.set("a", Method::Connect, Act::FAIL);
    rig.pass(20_000);
    let next = rig.stats("a").next_attempt_in.expect("it pauses");
    let sentence = queue(&rig);
    assert!(
        sentence.starts_with("2 claims wait, the oldest for 22 s: no backend is connected, "),
        "{sentence}"
    );
    assert!(sentence.contains("the next may be dialled in"), "{sentence}");
    assert!(next > Duration::ZERO);
    rig.pass(40_000);
    assert_eq!((results.len(), queue(&rig)), (2, "nobody waits".to_owned()));
    rig.end();
}

#[test]
fn why_claims_wait_where_everything_is_in_use() {
    let results = Results::default();
    let rig = Rig::with(&["a"], |policy| (policy.max_slots, policy.spares_wanted) = (2, 2));
    rig.script.set("a", Method::Recycle, Act::PASS.after(700));
    let handles = [rig.claim(), rig.claim()];
    rig.claim_in_task(1, &results);
    rig.pass(250);
    let full = "and the pool has its max_slots of 2";
    assert_eq!(
        queue(&rig),
        format!("1 claim waits for 250 ms: 2 of 2 connections in claimers' hands, {full}")
    );
    drop(handles);
    rig.pass(100);
    assert_eq!(
        queue(&rig),
        format!("1 claim waits for 350 ms: 2 of 2 connections being checked or recycled, {full}")
    );
    rig.pass(1000);
    assert_eq!(queue(&rig), "nobody waits");
    drop(results);
    let pool = rig.pool.clone();
    rig.world.run_until(pool.terminate());
    assert_eq!(queue(&rig), "the pool has ended, and nobody is served any more");
    drop(pool);
    rig.end();
}
