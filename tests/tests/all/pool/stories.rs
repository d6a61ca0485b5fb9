//! The machine's stories, as transcripts: what happened, and under it what the machine asked for.

use std::time::Duration;

use qorb_core::pool::{Policy, Return};
use qorb_tests::pool_sim::{Conduct, Manners, PoolSim};

fn policy(spares_wanted: usize, max_slots: usize) -> Policy {
    Policy { spares_wanted, max_slots, ..Policy::default() }
}

#[test]
fn the_first_backend_is_probed_by_one_connect_and_filled_once_it_answers() {
    let mut sim = PoolSim::new(policy(3, 4), 1);
    sim.behave("a", Manners::connecting(Conduct::Ok(10)));
    sim.publish(&["a"]);
    sim.run(20);
    insta::assert_snapshot!(sim.tell(), @r"
    0 backends a@127.0.0.1:1000
        b0 added
        connect s0 b0
    10 connected s0 ok
        b0 online
        connect s1 b0
        connect s2 b0
    20 connected s1 ok
    20 connected s2 ok
    ");
}

#[test]
fn a_claim_takes_an_idle_connection_at_once_and_a_spare_replaces_it() {
    let mut sim = PoolSim::new(policy(1, 4), 1);
    sim.publish(&["a"]);
    sim.run(0);
    sim.tell();
    let slot = sim.claim_now();
    sim.run(5);
    sim.give_back(slot, Return::Intact);
    insta::assert_snapshot!(sim.tell(), @r"
    0 claim c0 until 30000
        grant c0 s0
        connect s1 b0
    0 connected s1 ok
    5 returned s0 intact
    ");
}

#[test]
fn claims_that_wait_are_served_in_order_by_what_returns() {
    let mut sim = PoolSim::new(policy(1, 1), 1);
    sim.publish(&["a"]);
    sim.run(0);
    let held = sim.claim_now();
    sim.tell();
    let first = sim.claim();
    let second = sim.claim();
    sim.cancel(first);
    sim.run(7);
    sim.give_back(held, Return::Recycling);
    sim.run(0);
    assert_eq!(sim.granted(second), Some(held));
    insta::assert_snapshot!(sim.tell(), @r"
    0 claim c1 until 30000
    0 claim c2 until 30000
    0 cancelled c1
    7 returned s0 recycling
        recycle s0
    7 recycled s0 ok
        grant c2 s0
    7 fetched c2
    ");
}

#[test]
fn a_connect_that_hangs_is_aborted_and_its_backend_left_alone_for_a_while() {
    let mut sim = PoolSim::new(policy(1, 1), 1);
    sim.behave("a", Manners::connecting(Conduct::Hangs));
    sim.publish(&["a"]);
    sim.run(10_010);
    sim.behave("a", Manners::default());
    sim.run(30);
    insta::assert_snapshot!(sim.tell(), @r"
    0 backends a@127.0.0.1:1000
        b0 added
        connect s0 b0
    10000 tick: Slot(s0, Connecting)
        b0 failed: timed out
        abort s0
    10000 connected s0 aborted
    10034.817095 tick: Backend(b0)
        connect s0 b0
    10034.817095 connected s0 ok
        b0 online
    ");
}

#[test]
fn the_first_broken_connection_sends_the_idle_ones_to_be_checked() {
    let mut sim = PoolSim::new(policy(3, 4), 1);
    sim.publish(&["a"]);
    sim.run(2_000);
    let slot = sim.claim_now();
    sim.run(0);
    sim.tell();
    sim.behave("a", Manners { check: Conduct::Fails(1), ..Manners::connecting(Conduct::Fails(0)) });
    sim.give_back(slot, Return::Broken);
    sim.run(1);
    insta::assert_snapshot!(sim.tell(), @r"
    2000 returned s2 broken
        b0 failed: error
        check s3
        check s1
        check s0
        close s2
    2000 closed s2
    2001 checked s3 error
        b0 failed: error
        close s3
    2001 closed s3
    2001 checked s1 error
        b0 failed: error
        close s1
    2001 closed s1
    2001 checked s0 error
        b0 failed: error
        b0 offline
        close s0
    2001 closed s0
    ");
}

#[test]
fn accept_then_close_is_not_dialled_in_a_loop() {
    let mut sim = PoolSim::new(policy(1, 1), 1);
    sim.publish(&["a"]);
    sim.run(0);
    for _ in 0..3 {
        let claim = sim.claim();
        sim.run(100);
        sim.give_back(sim.granted(claim).expect("granted"), Return::Broken);
    }
    sim.run(0);
    insta::assert_snapshot!(sim.tell(), @r"
    0 backends a@127.0.0.1:1000
        b0 added
        connect s0 b0
    0 connected s0 ok
        b0 online
    0 claim c0 until 30000
        grant c0 s0
    100 returned s0 broken
        b0 failed: error
        b0 offline
        close s0
    100 closed s0
    100 claim c1 until 30100
    134.817095 tick: Backend(b0)
        connect s0 b0
    134.817095 connected s0 ok
        b0 online
        grant c1 s0
    134.817095 fetched c1
    200 returned s0 broken
        b0 failed: error
        b0 offline
        close s0
    200 closed s0
    200 claim c2 until 30200
    228.605642 tick: Backend(b0)
        connect s0 b0
    228.605642 connected s0 ok
        b0 online
        grant c2 s0
    228.605642 fetched c2
    300 returned s0 broken
        b0 failed: error
        b0 offline
        close s0
    300 closed s0
    ");
}

#[test]
fn a_backend_that_leaves_keeps_what_somebody_holds_until_it_returns() {
    let mut sim = PoolSim::new(policy(1, 2), 1);
    sim.publish(&["a"]);
    sim.run(0);
    let slot = sim.claim_now();
    sim.run(0);
    sim.tell();
    sim.publish(&["b"]);
    sim.run(0);
    sim.give_back(slot, Return::Intact);
    sim.run(0);
    insta::assert_snapshot!(sim.tell(), @r"
    0 backends b@127.0.0.1:1000
        b0 removed
        close s1
        b1 added
    0 closed s1
        connect s1 b1
    0 connected s1 ok
        b1 online
    0 returned s0 intact
        b0 offline
        close s0
    0 closed s0
    ");
}

#[test]
fn at_the_cap_a_second_backend_gets_its_share_one_slot_at_a_time() {
    let mut sim = PoolSim::new(policy(4, 4), 1);
    sim.publish(&["a"]);
    sim.run(0);
    sim.tell();
    sim.publish(&["a", "b"]);
    sim.run(0);
    assert_eq!((sim.slots_of("a"), sim.slots_of("b")), (2, 2));
    insta::assert_snapshot!(sim.tell(), @r"
    0 backends a@127.0.0.1:1000 b@127.0.0.1:1000
        b1 added
        close s0
    0 closed s0
        connect s0 b1
    0 connected s0 ok
        b1 online
        close s1
    0 closed s1
        connect s1 b1
    0 connected s1 ok
    ");
}

#[test]
fn surplus_waits_for_the_tick_and_goes_by_idleness() {
    let mut sim = PoolSim::new(policy(1, 4), 1);
    sim.publish(&["a"]);
    sim.run(0);
    let (one, two) = (sim.claim_now(), {
        sim.run(0);
        sim.claim_now()
    });
    sim.run(10);
    sim.give_back(one, Return::Intact);
    sim.run(10);
    sim.give_back(two, Return::Intact);
    sim.tell();
    sim.run(30_000);
    sim.tell();
    sim.run(30_000);
    insta::assert_snapshot!(sim.tell(), @r"
    30033.210996 tick: Slot(s1, Unclaimed)
        check s1
    30033.210996 checked s1 ok
    33012.686848 tick: Slot(s2, Unclaimed)
    33017.189795 tick: Slot(s0, Unclaimed)
    33033.210996 tick: Slot(s1, Unclaimed)
    60010 tick: Rebalance
        close s2
        close s0
    60010 closed s2
    60010 closed s0
    ");
}

#[test]
fn shutdown_ends_everything_but_what_is_in_somebodys_hands() {
    let mut sim = PoolSim::new(policy(2, 3), 1);
    sim.behave("b", Manners::connecting(Conduct::Hangs));
    sim.publish(&["a"]);
    sim.run(0);
    let slot = sim.claim_now();
    sim.run(0);
    sim.publish(&["a", "b"]);
    sim.claim_now();
    sim.tell();
    let waiting = sim.claim();
    sim.shut_down();
    sim.run(0);
    assert!(sim.granted(waiting).is_none());
    sim.give_back(slot, Return::Recycling);
    insta::assert_snapshot!(sim.tell(), @r"
    0 claim c2 until 30000
    0 shut down
        deny c2 terminated
        abort s0
    0 connected s0 aborted
        stopped
    0 returned s1 recycling
        close s1
    0 closed s1
    ");
}

#[test]
fn the_tick_takes_no_connect_from_a_claim_that_waits_for_it() {
    let rebalance_interval = Duration::from_secs(1);
    let mut sim = PoolSim::new(Policy { rebalance_interval, ..policy(0, 5) }, 1);
    sim.behave("down", Manners::connecting(Conduct::Fails(0)));
    sim.publish(&["a", "b", "down"]);
    for _ in 0..3 {
        sim.claim();
        sim.run(10_000);
    }
    sim.tell();
    // While the one pauses, its part is the other's; then its pause is over.
    sim.behave("a", Manners::connecting(Conduct::Fails(0)));
    sim.behave("b", Manners::connecting(Conduct::Ok(1_500)));
    sim.claim();
    sim.run(3_000);
    insta::assert_snapshot!(sim.tell(), @r"
    30000 claim c3 until 60000
        connect s3 b0
    30000 connected s3 error
        b0 failed: error
        connect s3 b1
    30011.496632 tick: Backend(b0)
    31011.496632 tick: Rebalance
    31500 connected s3 ok
        grant c3 s3
    31500 fetched c3
    32011.496632 tick: Rebalance
    32500 tick: Slot(s3, Claimed)
    ");
}
