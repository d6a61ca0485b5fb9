//! Every interleaving of small worlds: C2 to C7, C10, C12 and C13 on every edge, C1 and C8 too, but for the
//! largest worlds, where it is one edge in 16, C9 and C11 from every state of those that are walked to their end,
//! which the widest is not. One in 256 states that look like a known one is expanded too, and has to behave
//! like it.

use std::fs;
use std::time::Duration;

use qorb_core::dice::Dice;
use qorb_core::pool::{ClaimId, Event, Failure, Policy, PoolMachine, Return, SetConfig, SlotId};
use qorb_core::{Backend, Machine, Timestamp};
use qorb_tests::explore::{Progress, REPEATED, Report};
use qorb_tests::pool_world::{Freedom, Seen, Size, walk};

/// Walks a world, to its end or up to so many states.
#[expect(clippy::print_stdout, reason = "the size of what was explored is a result")]
fn explored(size: Size, freedom: Freedom, limit: usize) -> Report<Seen> {
    let report = walk(size, freedom, limit, Seen::default(), |_| {});
    if let Some(violation) = report.violation {
        panic!("{violation}");
    }
    let far = report.progress;
    println!("{size:?}: {far}");
    assert_compared(&far);
    report
}

/// Of all steps, fewer lead to a state that is new than to one that looks like a known one; of those, one in 256
/// is compared with it.
fn assert_compared(far: &Progress) {
    let merged = far.transitions - far.states as u64;
    assert!(
        far.compared > 0 && far.compared >= merged / 512,
        "only {} of {merged} were compared",
        far.compared
    );
}

/// Walks a world to its end, and adds what it sees there, which has to be all that such a world has.
fn every_state_of(size: Size, freedom: Freedom, seen: &mut Seen) {
    let report = explored(size, freedom, usize::MAX);
    assert!(report.complete, "the world is finite");
    let owed = report.seen.owed(size, freedom);
    assert_eq!(owed, [""; 0], "never happened in {size:?} with {freedom:?}");
    seen.add(&report.seen);
}

/// The rows of the table of slot states in the readme.
fn documented() -> Vec<String> {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.adoc");
    let readme = fs::read_to_string(readme).expect("there is a readme");
    let (_, table) = readme.split_once("// tag::slot-states[]").expect("the table begins");
    let (table, _) = table.split_once("// end::slot-states[]").expect("the table ends");
    table.lines().filter(|line| line.starts_with("| ")).skip(1).map(str::to_owned).collect()
}

/// First the one with everything: sets that change, failures, hangs, `on_acquire`, deadlines and the end.
/// Then others, each free where that one is not: claims that fail twice, claims that are now or never, two slots
/// of one backend, slots that are moved at the cap, suspects that are passed over, tiers that open and close, connects
/// that take longer than patience lasts, no spares. In one of them, and in the widest, two newcomers wait.
#[test]
fn every_interleaving_of_small_worlds_keeps_the_contract_and_the_readme_has_the_table_of_slot_states() {
    let everything = Size {
        backends: 2,
        slots: 2,
        slots_of_one: 1,
        claims: 2,
        max_waiting: 1,
        spares: 1,
        connect_timeout: 1,
        tries: 1,
        numbered: true,
        repeated: REPEATED,
    };
    let again = Size { tries: 2, numbered: false, repeated: 1, ..everything };
    let one_slot = Size { backends: 1, slots: 1, max_waiting: 2, numbered: true, ..again };
    let one_backend = Size { slots: 2, slots_of_one: 2, max_waiting: 1, numbered: false, ..one_slot };
    let moving = Size { slots_of_one: 2, numbered: false, ..everything };
    let wider = Size { slots: 3, claims: 3, max_waiting: 2, ..moving };
    let patient = Size { slots: 1, claims: 1, connect_timeout: 2, ..again };
    let spareless = Size { claims: 1, spares: 0, ..again };
    let plain = Freedom::NONE;
    let mut seen = Seen::default();
    every_state_of(everything, Freedom { hasty: false, ..Freedom::ALL }, &mut seen);
    every_state_of(again, Freedom { acquire: true, ..plain }, &mut seen);
    every_state_of(one_slot, Freedom::ALL, &mut seen);
    every_state_of(one_backend, Freedom::ALL, &mut seen);
    every_state_of(moving, plain, &mut seen);
    every_state_of(Size { claims: 1, ..again }, Freedom { moves: true, ..plain }, &mut seen);
    every_state_of(Size { claims: 1, ..moving }, Freedom { tiers: true, ..plain }, &mut seen);
    every_state_of(spareless, plain, &mut seen);
    let roomy = Size { slots_of_one: 2, repeated: REPEATED, ..spareless };
    every_state_of(roomy, Freedom { membership: true, ..plain }, &mut seen);
    every_state_of(Size { claims: 2, ..roomy }, plain, &mut seen);
    every_state_of(patient, Freedom { deadlines: true, ..plain }, &mut seen);
    every_state_of(Size { slots: 2, ..patient }, plain, &mut seen);
    seen.add(&explored(wider, plain, 100_000).seen);
    assert_eq!(seen.missing(), [""; 0], "never happened");
    let table = seen.table();
    assert_eq!(table, documented(), "the table for the readme:\n{}\n", table.join("\n"));
}

#[test]
fn a_backends_timer_that_rings_for_a_failure_long_forgiven_makes_no_plan() {
    let (second, never) = (Duration::from_secs(1), Duration::MAX);
    let set_config = SetConfig {
        min_connection_backoff: second,
        max_connection_backoff: second,
        spread: Duration::ZERO,
        health_interval: never,
        ..SetConfig::default()
    };
    let policy = Policy { spares_wanted: 1, rebalance_interval: never, set_config, ..Policy::default() };
    let mut pool = PoolMachine::new(policy, &Dice::Fixed, Timestamp::EPOCH).expect("the policy is valid");
    let (slot, claim, deadline) = (SlotId(0), ClaimId(0), Timestamp::NEVER);
    let backend = Backend::new("b0", ([127, 0, 0, 1], 1000).into());
    let story = [
        (0, Event::Backends(vec![backend])),
        (0, Event::Connected(slot, Err(Failure::Error))),
        (500, Event::Tick),
        (500, Event::Connected(slot, Ok(()))),
        (500, Event::Claim { claim, deadline }),
        (500, Event::Returned(slot, Return::Intact)),
    ];
    let mut out = Vec::new();
    for (millis, event) in story {
        pool.handle(Timestamp::from_millis(millis), event, &mut out);
    }
    let due = pool.deadline().expect("the timer of the forgiven failure is not stopped");
    out.clear();
    pool.handle(due, Event::Tick, &mut out);
    assert_eq!(out, [], "at {due}");
}
