//! Every interleaving of small worlds: C1 to C13 on every edge.

use qorb_tests::explore::{Report, Sometimes, explore};
use qorb_tests::pool_world::{Freedom, PoolWorld, SOMETIMES, Size};

/// Things that one slot and one backend are too small for.
const LARGER: [&str; 3] = [
    "a close is pending while another slot connects",
    "a slot is moved at the cap",
    "a suspect is passed over",
];

#[expect(clippy::print_stdout, reason = "the size of what was explored is a result")]
fn walk(size: Size, limit: usize) -> Report {
    let report = explore(&PoolWorld::new(size, Freedom::ALL), Sometimes::new(SOMETIMES), limit);
    if let Some(violation) = report.violation {
        panic!("{}\n\n{}", violation.rule, violation.transcript);
    }
    println!(
        "{size:?}: {} states, {} transitions, {} deep, complete: {}, {:?}",
        report.states, report.transitions, report.depth, report.complete, report.took
    );
    report
}

#[test]
fn every_interleaving_of_one_backend_one_slot_and_two_claims_keeps_the_contract() {
    let report = walk(Size { backends: 1, slots: 1, claims: 2 }, 1_000_000);
    assert!(report.complete, "the world is finite");
    assert_eq!(report.sometimes.missing(), LARGER, "never happened");
}

#[test]
fn two_backends_two_slots_and_two_claims_keep_the_contract_breadth_first() {
    let report = walk(Size { backends: 2, slots: 2, claims: 2 }, 60_000);
    assert_eq!(report.sometimes.missing(), LARGER[2..], "never happened");
}
