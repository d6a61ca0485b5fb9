//! Who waits is served by whoever works: what suspects, pausing backends and newcomers have no part in.

use std::collections::VecDeque;
use std::time::Duration;

use qorb_core::pool::{ClaimId, Policy, Return, Standing};
use qorb_tests::pool_sim::{Conduct, Manners, PoolSim};

fn policy(max_slots: usize) -> Policy {
    Policy { spares_wanted: 0, max_slots, ..Policy::default() }
}

/// Two backends, of which `a` is suspect with one connection out and one at rest, all of `b`'s are out, and
/// somebody waits.
fn waiting_beside_a_suspect(max_count: usize, connects_of_a: Conduct) -> (PoolSim, ClaimId) {
    let mut policy = policy(16);
    policy.set_config.max_count = max_count;
    let mut sim = PoolSim::new(policy, 7);
    sim.publish(&["a", "b"]);
    let held: Vec<_> = (0..6).map(|_| sim.claim_within(1_000).1).collect();
    assert_eq!((sim.slots_of("a"), sim.slots_of("b")), (3, 3));
    sim.behave("a", Manners::connecting(connects_of_a));
    for slot in held {
        if sim.backend_of(slot) == "a" {
            sim.give_back(slot, Return::Intact);
        }
    }
    // A connection of a is refused by its claimer, who gets another one. The next may not have the third before
    // that comes back.
    let claim = sim.claim();
    let refused = sim.granted(claim).expect("three of a rest");
    assert_eq!(sim.backend_of(refused), "a");
    sim.fail_acquire(refused, claim);
    let taken = sim.granted(claim).expect("two of a rest");
    assert_eq!(sim.backend_of(taken), "a");
    let next = sim.claim();
    sim.run(1_000);
    (sim, next)
}

#[test]
fn what_a_suspect_may_not_give_is_no_reason_to_let_a_claim_wait() {
    for connects_of_a in [Conduct::Ok(0), Conduct::Hangs] {
        let (mut sim, next) = waiting_beside_a_suspect(16, connects_of_a);
        assert_eq!(sim.backend_of(sim.served(next)), "b");
        assert_eq!((sim.dials.len(), sim.slots_of("a")), (7, 2), "{}", sim.tell());
    }
}

#[test]
fn a_suspect_that_may_give_nothing_is_not_dialled_for_those_who_wait() {
    let (mut sim, next) = waiting_beside_a_suspect(3, Conduct::Ok(0));
    sim.run(1_000);
    assert_eq!(sim.granted(next), None, "all of b's are out, and it may have no more");
    assert_eq!((sim.dials.len(), sim.slots_of("a")), (6, 2), "{}", sim.tell());
}

#[test]
fn while_a_suspect_may_give_nothing_claims_that_come_and_go_move_no_slots() {
    for (max_slots, spares, clients) in [(6, 2, 4), (16, 8, 9), (16, 0, 12)] {
        let mut sim = PoolSim::new(Policy { spares_wanted: spares, ..policy(max_slots) }, 7);
        sim.publish(&["a", "b"]);
        sim.run(1_000);
        // Of as many as there are clients, one of a's is refused, and another is out from then on.
        let mut held: Vec<_> = (0..clients).map(|_| sim.claim_within(10)).collect();
        let at = held
            .iter()
            .position(|(_, slot)| sim.backend_of(*slot) == "a")
            .expect("equal backends take turns");
        let (claim, refused) = held.remove(at);
        sim.fail_acquire(refused, claim);
        sim.run(10);
        for (_, slot) in held.drain(..) {
            sim.give_back(slot, Return::Intact);
        }
        let mut of_a = sim.granted(claim).expect("there are others");
        while sim.backend_of(of_a) != "a" {
            of_a = sim.claim_within(10).1;
        }
        let (mut waiting, mut dials) = (VecDeque::new(), 0);
        for turn in 0..200 {
            // Each client holds its connection for as long as it takes all the others to ask.
            waiting.push_back(sim.claim());
            sim.run(1);
            if waiting.len() >= clients {
                let slot = waiting.iter().position(|claim| sim.granted(*claim).is_some());
                let slot = slot.and_then(|at| sim.granted(waiting.remove(at)?)).expect("somebody is served");
                sim.give_back(slot, Return::Intact);
            }
            if turn == 100 {
                dials = sim.dials.len();
            }
        }
        assert_eq!(sim.backend_of(of_a), "a");
        assert_eq!(sim.dials.len(), dials, "{max_slots} slots, {clients} clients: {}", sim.tell());
    }
}

#[test]
fn a_newcomer_that_takes_its_time_joins_a_full_pool_in_which_somebody_always_waits() {
    let mut sim = PoolSim::new(policy(2), 1);
    sim.publish(&["a"]);
    let mut claims: VecDeque<_> = (0..4).map(|_| sim.claim()).collect();
    sim.run(100);
    sim.behave("b", Manners::connecting(Conduct::Ok(400)));
    sim.publish(&["a", "b"]);
    let mut of_b = 0;
    for _ in 0..600 {
        let at = claims.iter().position(|claim| sim.granted(*claim).is_some());
        if let Some(slot) = at.and_then(|at| sim.granted(claims.remove(at)?)) {
            of_b += u32::from(sim.backend_of(slot) == "b");
            sim.give_back(slot, Return::Intact);
            claims.push_back(sim.claim());
        }
        sim.run(10);
    }
    assert!(of_b > 10, "b served {of_b} claims: {}", sim.tell());
}

#[test]
fn a_backend_that_pauses_with_nothing_to_give_leaves_its_place_to_the_next() {
    let mut policy = policy(16);
    policy.set_config.min_connection_backoff = Duration::from_secs(20);
    let mut sim = PoolSim::new(policy, 1);
    sim.publish(&["a", "b"]);
    let (_, first) = sim.claim_within(1);
    let (name, other) = if sim.backend_of(first) == "a" { ("a", "b") } else { ("b", "a") };
    // Of two connects under way the earlier fails, and the later works: the backend is up, and pauses.
    sim.behave(other, Manners::connecting(Conduct::Ok(1)));
    sim.behave(name, Manners::connecting(Conduct::Fails(2)));
    let second = sim.claim();
    sim.behave(name, Manners::connecting(Conduct::Ok(3)));
    let third = sim.claim();
    sim.run(10);
    let held = [second, third].map(|claim| sim.granted(claim).expect("granted"));
    for slot in [first, held[0], held[1]] {
        sim.give_back(slot, Return::Detached);
    }
    sim.run(1);
    let pausing = sim.machine().census().find(|view| *view.backend.name == *name).expect("it is in the set");
    assert!(pausing.standing == Standing::Up && pausing.next_attempt.is_some(), "{}", sim.tell());
    let (_, served) = sim.claim_within(100);
    assert_eq!(sim.backend_of(served), other);
}

#[test]
fn a_newcomer_that_answers_nothing_takes_nobodys_place() {
    let names = ["a", "b", "c", "newcomer"];
    for seed in 0..16 {
        let mut policy = policy(16);
        policy.set_config.max_count = 1;
        let mut sim = PoolSim::new(policy, seed);
        sim.publish(&names[..3]);
        let claims = [sim.claim(), sim.claim(), sim.claim()];
        sim.run(10);
        let held = claims.map(|claim| sim.granted(claim).expect("granted"));
        sim.give_back(held[0], Return::Detached);
        sim.give_back(held[1], Return::Detached);
        sim.behave(names[3], Manners::connecting(Conduct::Hangs));
        sim.publish(&names);
        sim.run(10);
        let (_, served) = sim.claim_within(1_000);
        assert_ne!(sim.backend_of(served), names[3]);
    }
}
