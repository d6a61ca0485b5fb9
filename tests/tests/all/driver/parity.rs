//! Where backends come from and who is served: scenarios 1 to 13, 18, 19, 22 and 30.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use qorb_driver::{Backend, Denial, FixedResolver, Policy, Pool};
use qorb_tests::sim::World;
use qorb_tests::sim::announce::backend;
use qorb_tests::sim::hand::Hand;
use qorb_tests::sim::script::{Act, Method, Script, SimPool};

use super::{Results, Rig};

#[test]
fn s01_the_first_claim_gets_the_first_connection() {
    let rig = Rig::new(&["a"]);
    assert_eq!(rig.claim().id, 1);
    rig.pass(130_000);
    assert_eq!((rig.slots(), rig.unclaimed()), (8, 8));
    rig.end();
}

#[test]
fn s02_a_claim_waits_for_a_backend_to_appear() {
    let rig = Rig::new(&[]);
    let results = Results::default();
    rig.claim_in_task(0, &results);
    rig.pass(100);
    assert_eq!(results.len(), 0);
    rig.sets.publish(&["a"]);
    rig.settle();
    let (_, result) = results.take().pop().expect("it is answered at once");
    assert_eq!(result.expect("granted").id, 1);
    assert_eq!(rig.millis(), 100);
    rig.end();
}

#[test]
fn s03_the_claim_that_waits_gets_the_connection_that_is_returned() {
    let rig = Rig::with(&["a"], |policy| {
        policy.spares_wanted = 5;
        policy.max_slots = 5;
    });
    let mut handles: Vec<_> = (0..5).map(|_| rig.claim()).collect();
    let mut sixth = Hand::new(rig.pool.claim());
    assert!(sixth.poll().is_pending());
    rig.settle();
    assert_eq!(sixth.woken(), 0);
    let first = handles.remove(0);
    let slot = first.slot_id();
    drop(first);
    assert_eq!(sixth.woken(), 1);
    let Poll::Ready(Ok(handle)) = sixth.poll() else { panic!("it was granted") };
    assert_eq!(handle.slot_id(), slot);
    drop((handle, handles, sixth));
    rig.end();
}

#[test]
fn s04_sixteen_are_the_most_and_the_next_fails_at_its_timeout() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    assert_eq!(rig.unclaimed(), 8);
    let mut handles: Vec<_> = (0..8).map(|_| rig.claim()).collect();
    rig.settle();
    assert_eq!(rig.slots(), 16);
    handles.extend((0..8).map(|_| rig.claim()));
    let error = rig.try_claim().expect_err("all are held");
    assert_eq!(error.kind, Denial::AllClaimsUsed { checking: 0 });
    assert_eq!(error.waited, Duration::from_secs(30));
    assert_eq!(rig.millis(), 30_000);
    drop(handles);
    rig.end();
}

#[test]
fn s05_each_denial_says_what_is_the_matter() {
    let short = |policy: &mut Policy| {
        policy.claim_timeout = Duration::from_millis(5);
        policy.max_slots = 1;
    };
    let empty = Rig::with(&[], short);
    assert_eq!(empty.denial(), Denial::NoBackends);
    empty.end();

    let refusing = Rig::scripted(&["a"], short, |script| script.set("a", Method::Connect, Act::FAIL));
    let error = refusing.try_claim().expect_err("nobody is there");
    assert_eq!(error.kind, Denial::NoBackendsOnline);
    let source = std::error::Error::source(&error).expect("the connect's error").to_string();
    assert_eq!(source, "Connect fails as the script says");
    refusing.end();

    let used = Rig::with(&["a"], short);
    let handle = used.claim();
    assert_eq!(used.denial(), Denial::AllClaimsUsed { checking: 0 });
    drop(handle);
    used.end();
}

#[test]
fn s06_a_backend_swapped_for_another_serves_no_more() {
    let rig = Rig::new(&["aaa"]);
    drop(rig.claim());
    rig.sets.publish(&["bbb"]);
    rig.settle();
    let handles: Vec<_> = (0..16).map(|_| rig.claim()).collect();
    assert!(handles.iter().all(|handle| handle.backend == "bbb"));
    assert_eq!(rig.script.live("aaa"), 0);
    drop(handles);
    rig.end();
}

#[test]
fn s07_a_handle_outlives_its_backend_and_is_closed_on_return() {
    let rig = Rig::new(&["a", "b"]);
    rig.settle();
    let handles: Vec<_> = (0..4).map(|_| rig.claim()).collect();
    let (of_a, of_b): (Vec<_>, Vec<_>) = handles.into_iter().partition(|handle| handle.backend == "a");
    rig.sets.publish(&["b"]);
    rig.settle();
    assert_eq!(rig.script.live("a"), of_a.len(), "what is held stays");
    let recycled = rig.script.calls(Method::Recycle).len();
    drop(of_a);
    rig.settle();
    assert_eq!(rig.script.live("a"), 0);
    assert_eq!(rig.script.calls(Method::Recycle).len(), recycled, "it is not recycled");
    drop(of_b);
    rig.end();
}

#[test]
fn s08_a_connection_that_cannot_be_recycled_is_replaced() {
    let rig = Rig::with(&["a"], |policy| {
        policy.spares_wanted = 1;
        policy.max_slots = 1;
    });
    let handle = rig.claim();
    let id = handle.id;
    rig.pass(2_000);
    rig.script.once("a", Method::Recycle, Act::FAIL);
    drop(handle);
    rig.settle();
    let next = rig.claim();
    assert_eq!((next.id, rig.millis()), (id + 1, 2_000));
    assert_eq!(rig.script.live("a"), 1);
    drop(next);
    rig.end();
}

#[test]
fn s09_a_recycle_that_hangs_is_given_up() {
    let rig = Rig::with(&["a"], |policy| {
        policy.spares_wanted = 1;
        policy.max_slots = 1;
    });
    let handle = rig.claim();
    rig.pass(1_500);
    rig.script.once("a", Method::Recycle, Act::HANG);
    drop(handle);
    rig.pass(2_999);
    assert_eq!((rig.stats("a").checking_slots, rig.script.made()), (1, 1));
    rig.pass(1);
    assert_eq!((rig.stats("a").unclaimed_slots, rig.script.made()), (1, 2));
    assert_eq!(rig.pool.stats().failures, 1);
    rig.end();
}

#[test]
fn s10_checks_that_fail_replace_the_idle_ones_and_may_end_offline() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    assert_eq!(rig.script.made(), 8);
    rig.script.set("a", Method::Check, Act::FAIL);
    rig.pass(31_000);
    rig.script.set("a", Method::Check, Act::PASS);
    rig.pass(40_000);
    assert!(rig.script.made() >= 16, "all eight were replaced: {}", rig.script.made());
    assert_eq!(rig.script.live("a"), 8);
    rig.script.set("a", Method::Check, Act::FAIL);
    rig.script.set("a", Method::Connect, Act::FAIL);
    rig.pass(60_000);
    let stats = rig.stats("a");
    assert!(!stats.online && stats.failures > 0 && stats.last_error.is_some(), "{stats:?}");
    rig.end();
}

#[test]
fn s11_a_claimed_connection_is_not_checked() {
    let rig = Rig::with(&["a"], |policy| {
        policy.spares_wanted = 1;
        policy.max_slots = 1;
        policy.set_config.spread = Duration::ZERO;
    });
    let handle = rig.claim();
    rig.pass(100_000);
    assert_eq!(rig.script.calls(Method::Check).len(), 0);
    drop(handle);
    // The pool's only idle connection is checked only when a full interval overdue.
    rig.pass(59_999);
    assert_eq!(rig.script.calls(Method::Check).len(), 0);
    rig.pass(1);
    assert_eq!(rig.script.calls(Method::Check).len(), 1);
    rig.end();
}

#[test]
fn s12_pauses_between_connects_grow_to_the_cap_and_vary() {
    let rig = Rig::scripted(
        &["a"],
        |policy| {
            policy.spares_wanted = 1;
            policy.set_config.min_connection_backoff = Duration::from_millis(100);
            policy.set_config.max_connection_backoff = Duration::from_secs(1);
        },
        |script| script.set("a", Method::Connect, Act::FAIL),
    );
    rig.pass(10_000);
    let calls = rig.script.calls(Method::Connect);
    let mut gaps: Vec<_> = calls.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
    assert!(gaps.len() >= 6, "{gaps:?}");
    for (attempt, gap) in gaps.iter().take(6).enumerate() {
        let ceiling = (100_u128 << attempt).min(1_000);
        assert!((ceiling / 2..=(ceiling + 20).min(1_000)).contains(gap), "{attempt}: {gaps:?}");
    }
    let mut capped = gaps.split_off(5);
    capped.dedup();
    assert!(capped.len() > 2, "every pause is drawn anew: {capped:?}");
    rig.end();
}

#[test]
fn s13_an_on_acquire_that_blocks_or_fails_once_is_nobody_elses_business() {
    let rig = Rig::new(&["a"]);
    rig.settle();
    rig.script.once("a", Method::Acquire, Act::PASS.after(2_000));
    let mut slow = Hand::new(rig.pool.claim());
    assert!(slow.poll().is_pending());
    drop(rig.claim());
    assert_eq!(rig.millis(), 0, "others are not held up");
    rig.pass(2_000);
    let Poll::Ready(Ok(handle)) = slow.poll() else { panic!("it is through") };
    drop((handle, slow));

    rig.pass(2_000);
    rig.script.once("a", Method::Acquire, Act::FAIL);
    let made = rig.script.calls(Method::Acquire).len();
    let handle = rig.claim();
    let calls = rig.script.calls(Method::Acquire);
    assert_eq!(calls.len(), made + 2, "one failed, one passed");
    assert_eq!(calls.last().map(|call| call.conn), Some(handle.id));
    assert_ne!(calls[made].conn, handle.id);
    drop(handle);
    rig.end();
}

#[test]
fn s18_three_healthy_backends_share_the_claims() {
    let rig = Rig::new(&["a", "b", "c"]);
    rig.settle();
    for _ in 0..300 {
        drop(rig.claim());
    }
    for name in ["a", "b", "c"] {
        let served = rig.stats(name).total_claims;
        assert!((90..=110).contains(&served), "{name} served {served}");
    }
    rig.end();
}

#[test]
fn s19_a_backend_is_online_until_its_last_handle_is_back() {
    let rig = Rig::new(&["a"]);
    let handle = rig.claim();
    rig.sets.publish(&[]);
    rig.settle();
    let stats = rig.stats("a");
    assert!(stats.online && stats.claimed_slots == 1 && stats.draining_slots == 1, "{stats:?}");
    drop(handle);
    rig.settle();
    assert_eq!(rig.pool.stats().backends.len(), 0);
    rig.end();
}

#[test]
fn s22_a_fixed_resolver_knows_its_addresses() {
    let world = World::new(1);
    let script = Script::new(world.sim());
    let addresses = ["127.0.0.1:4444", "[ff:dd:ee::3]:4445", "127.0.0.1:4444"];
    let resolver = FixedResolver::new(addresses.iter().map(|text| text.parse().expect("an address")));
    let pool: SimPool = Pool::new(Arc::from("fixed"), resolver, script, Policy::default()).expect("it works");
    drop(world.run_until(pool.claim()));
    let stats = pool.stats();
    let names: Vec<_> = stats.backends.iter().map(|of| of.backend.name.to_string()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"127.0.0.1:4444".to_owned()) && names.contains(&"[ff:dd:ee::3]:4445".to_owned()));
    drop(pool);
    world.finish();
}

#[test]
fn s30_a_backend_that_moves_is_followed() {
    let rig = Rig::new(&["a"]);
    let old = rig.claim();
    let moved = Backend::new("a", ([10, 9, 9, 9], 1).into());
    rig.sets.publish_set(vec![moved.clone()]);
    rig.settle();
    let new = rig.claim();
    assert_eq!(new.backend(), &moved);
    assert_eq!(old.backend(), &backend("a"));
    drop((old, new));
    rig.end();
}
