//! Logs: what is written is read back, what differs is shown, and what is no log is said to be none.

use std::fs;
use std::path::{Path, PathBuf};

use qorb_core::dice::Dice;
use qorb_core::dns::{self, QueryId, SocketFailure};
use qorb_core::pool::{
    Beginning, ClaimId, Event, Failure, Policy, PoolMachine, Return, SetConfig, SlotId, Ticket,
};
use qorb_core::record::{Recorded, Recorder, ReplayError, Ring, replay};
use qorb_core::{Backend, Machine, Timestamp};
use qorb_tests::dns_world::{Connects, World, Zone};
use qorb_tests::pool_sim::{Conduct, Manners, PoolSim};
use qorb_tests::walk::{Seen, again};

use crate::dns::{ONE, TWO, plain, secs};

/// Write the stories into the folder of logs instead of comparing them with what is there.
const REWRITE: &str = "QORB_REWRITE_LOGS";

fn logs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("logs")
}

fn kept(name: &str, told: &str) {
    let path = logs().join(name);
    if std::env::var_os(REWRITE).is_some() {
        fs::write(&path, told).expect("the folder of logs can be written to");
    }
    let log = fs::read_to_string(&path).expect("the story is there");
    assert!(log == told, "{name} happens otherwise: if it should, run this test once with {REWRITE}=1");
}

/// A day in the life of a pool: backends that hang, fail and leave, claims of every outcome, and the end.
fn pool_story() -> PoolSim {
    let set_config = SetConfig { max_count: 3, ..SetConfig::default() };
    let mut sim = PoolSim::new(Policy { spares_wanted: 2, max_slots: 4, set_config, ..Policy::default() }, 7);
    sim.behave("a", Manners::connecting(Conduct::Ok(3)));
    sim.behave("b", Manners::connecting(Conduct::Hangs));
    sim.publish(&["a", "b", "c@2"]);
    sim.run(1_000);
    let held = [sim.claim_now(), sim.claim_now()];
    sim.run(20);
    sim.behave("a", Manners { check: Conduct::Fails(5), ..Manners::connecting(Conduct::Fails(1)) });
    sim.give_back(held[0], Return::Broken);
    sim.run(12_000);
    sim.give_back(held[1], Return::Recycling);
    sim.run(10);
    let claims: Vec<_> = (0..6).map(|_| sim.claim()).collect();
    sim.cancel(claims[5]);
    sim.run(10);
    let granted = |sim: &PoolSim, claim| sim.granted(claim).expect("one of the first");
    let (first, second) = (granted(&sim, claims[0]), granted(&sim, claims[1]));
    sim.fail_acquire(first, claims[0]);
    sim.give_back(second, Return::Detached);
    sim.run(31_000);
    sim.behave("a", Manners::default());
    sim.publish(&["a", "c@2"]);
    sim.run(60_000);
    sim.shut_down();
    sim
}

/// A resolver among a server that tells the truth, one that is cut off, and one that is not there.
fn resolver_story() -> World {
    let mut world = World::new(&[ONE, TWO, crate::dns::THREE], plain(), 3);
    world.serve(ONE, Zone::of(3).sending_along(1).server());
    world.serve(TWO, Zone::of(60).server());
    world.connects(TWO, Connects::Refuses);
    world.run_for(secs(90));
    world.serve(ONE, Zone::of(2).server());
    world.handle(dns::Event::ResolveNow);
    world.run_for(secs(90));
    world.handle(dns::Event::ShutDown);
    world
}

#[test]
fn the_stories_are_written_as_they_are_kept() {
    kept("pool_story.log", &pool_story().log());
    kept("resolver_story.log", &resolver_story().log());
}

#[test]
fn every_log_that_is_kept_replays() {
    let mut replayed = 0;
    for entry in fs::read_dir(logs()).expect("there is a folder of logs") {
        let path = entry.expect("an entry can be read").path();
        let log = fs::read_to_string(&path).expect("a log is text");
        let result = replay(&log);
        assert!(
            result.as_ref().is_ok_and(|log| log.events > 0 && log.actions > 0),
            "{}: {result:?}",
            path.display()
        );
        replayed += 1;
    }
    assert!(replayed >= 2, "{replayed} logs are kept");
}

#[test]
fn every_event_of_the_pool_is_read_as_it_was_written() {
    let (slot, claim) = (SlotId(17), ClaimId(4));
    let ticket = Ticket { arrival: 9, deadline: Timestamp::from_nanos(1_234_567_890), failures: 2 };
    let odd = Backend { priority: 1, weight: 2, ..Backend::new("a b@%", ([127, 0, 0, 1], 80).into()) };
    let results =
        [Ok(()), Err(Failure::Error), Err(Failure::TimedOut), Err(Failure::Panicked), Err(Failure::Aborted)];
    let mut events = vec![
        Event::Backends(vec![]),
        Event::Backends(vec![odd, Backend::new("b", ([127, 0, 0, 1], 80).into())]),
        Event::Claim { claim, deadline: Timestamp::NEVER },
        Event::Claim { claim, deadline: Timestamp::from_millis(5) },
        Event::Resume(claim),
        Event::Fetched(claim),
        Event::Cancelled(claim),
        Event::AcquirePending { slot, claim, ticket },
        Event::AcquireFailed { slot, claim, ticket, failure: Failure::TimedOut },
        Event::Acquired(slot),
        Event::Closed(slot),
        Event::ShutDown,
        Event::Tick,
    ];
    let returns = [Return::Intact, Return::Recycling, Return::Broken, Return::Abandoned, Return::Detached];
    events.extend(returns.map(|how| Event::Returned(slot, how)));
    events.extend(results.map(|result| Event::Connected(slot, result)));
    events.extend(results.map(|result| Event::Checked(slot, result)));
    events.extend(results.map(|result| Event::Recycled(slot, result)));
    let machine = pool_story();
    for event in events {
        read_back(machine.machine(), event);
    }
}

#[test]
fn every_event_of_the_resolver_is_read_as_it_was_written() {
    let query = QueryId(3);
    let failures = [
        SocketFailure::Refused,
        SocketFailure::Unreachable,
        SocketFailure::Reset,
        SocketFailure::NoSocket,
        SocketFailure::Other,
    ];
    let mut events = vec![
        dns::Event::Datagram(query, vec![]),
        dns::Event::Datagram(query, (0..=255).collect()),
        dns::Event::StreamOpened(query),
        dns::Event::StreamBytes(query, vec![0, 1]),
        dns::Event::StreamClosed(query),
        dns::Event::ResolveNow,
        dns::Event::ShutDown,
        dns::Event::Tick,
    ];
    events.extend(failures.map(|failure| dns::Event::Failed(query, failure)));
    let world = World::new(&[ONE], plain(), 1);
    for event in events {
        read_back(&world.resolver, event);
    }
}

fn read_back<M: Recorded<Event: PartialEq + std::fmt::Debug>>(machine: &M, event: M::Event) {
    let line = machine.event_line(Timestamp::from_nanos(5), &event);
    let text = line.strip_prefix("0.000005 ").expect("the time comes first");
    assert_eq!(M::read_event(text), Ok(event), "{line}");
    let more = M::read_event(&format!("{text} more"));
    assert!(more.is_err() || text.starts_with("tick"), "{line} more");
}

#[test]
fn a_ring_remembers_the_latest_events_behind_the_state_before_them() {
    let sim = pool_story();
    let (log, events) = (sim.log(), sim.told());
    for most in [1, 7, 50, 10_000] {
        let beginning = Beginning::New {
            policy: sim.machine().policy().clone(),
            dice: Dice::Seeded(7),
            at: Timestamp::EPOCH,
        };
        let mut machine = PoolMachine::begin(beginning).expect("as before");
        let mut ring = Ring::new(&machine, most);
        for (now, event) in events {
            ring.begins(*now, event);
            machine.handle(*now, event.clone(), &mut Vec::new());
            ring.ended();
        }
        let (behind, latest) = ring.into_parts();
        assert_eq!(latest.len(), most.min(events.len()));
        let recorder = Recorder::<PoolMachine>::retell(Beginning::state(behind), latest)
            .expect("a state is a beginning");
        assert_eq!(recorder.machine(), sim.machine());
        let short = recorder.log();
        let replayed = replay(&short).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(replayed.events, most.min(events.len()) as u64);
        let tail = |log: &str| log.lines().rev().skip(1).take(3).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(tail(&short)[..1], tail(&log)[..1], "the same end");
    }
}

#[test]
fn a_ring_stands_still_once_an_event_did_not_end() {
    let machine = pool_story().machine().clone();
    let mut ring = Ring::new(&machine, 3);
    for second in 1..=4_u64 {
        ring.begins(Timestamp::from_millis(second * 1_000_000), &Event::Tick);
        if second != 4 {
            ring.ended();
        }
    }
    for later in 5..=9_u64 {
        ring.begins(Timestamp::from_millis(later * 1_000_000), &Event::ShutDown);
        ring.ended();
    }
    let (_, latest) = ring.into_parts();
    let times: Vec<_> = latest.iter().map(|(at, _)| at.as_nanos() / 1_000_000_000_000).collect();
    assert_eq!(times, [2, 3, 4]);
}

#[test]
fn the_first_difference_is_shown_with_the_five_lines_before_it() {
    let log = pool_story().log();
    let lines: Vec<_> = log.lines().collect();
    let number = lines.iter().position(|line| *line == "    connect s1 b0").expect("it connects twice") + 1;
    let other = log.replacen("    connect s1 b0", "    connect s9 b0", 1);
    let Err(ReplayError::Differs(difference)) = replay(&other) else { panic!("it differs") };
    assert_eq!(difference.line, number);
    let said = |text: &str| Some(text.to_owned());
    assert_eq!((difference.logged, difference.done), (said("connect s9 b0"), said("connect s1 b0")));
    let context: Vec<_> = difference.context.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(context, lines[number - 6..number - 1]);

    let fewer = log.replacen("    connect s1 b0\n", "", 1);
    assert!(matches!(replay(&fewer), Err(ReplayError::Differs(difference)) if difference.line == number));
    let more = log.replacen("    connect s1 b0\n", "    connect s1 b0\n    stopped\n", 1);
    let Err(ReplayError::Differs(difference)) = replay(&more) else { panic!("it differs") };
    assert_eq!((difference.line, difference.logged), (number + 1, said("stopped")));
}

#[test]
fn the_event_is_shown_however_many_actions_come_before_the_difference() {
    let mut sim = PoolSim::new(Policy::default(), 7);
    sim.behave("a", Manners::connecting(Conduct::Ok(3)));
    sim.publish(&["a"]);
    sim.run(100);
    let log = sim.log();
    let lines: Vec<_> = log.lines().collect();
    let number = lines.iter().position(|line| *line == "    connect s7 b0").expect("it opens eight") + 1;
    let event = lines[..number].iter().rposition(|line| !line.starts_with(' ')).expect("an event") + 1;
    assert!(event + 6 < number, "{event} {number}");
    let other = log.replacen("    connect s7 b0", "    connect s9 b0", 1);
    let Err(ReplayError::Differs(difference)) = replay(&other) else { panic!("it differs") };
    let numbers: Vec<_> = difference.context.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [&[event][..], &(number - 5..number).collect::<Vec<_>>()].concat());
    assert!(difference.to_string().contains("connected s0 ok"), "{difference}");
}

#[test]
fn a_log_that_names_what_cannot_be_is_refused() {
    let log = pool_story().log();
    let cases = [
        ("claim c4294967295 until never", "no claim c4294967295"),
        ("fetched c4294967295", "no claim c4294967295"),
        ("resume c4000000000", "no claim c4000000000"),
        ("connected s4294967295 ok", "no slot s4294967295"),
        ("closed s0", "no slot s0"),
        ("acquire pending s9 c0 number 1 until never failures 0", "no slot s9"),
    ];
    for (event, reason) in cases {
        let damaged = log.replacen("\n0 backends", &format!("\n0 {event}\n0 backends"), 1);
        let refused = again(&damaged).expect_err(event).to_string();
        assert!(refused.contains("line 3 ") && refused.contains(reason), "{event}: {refused}");
        assert_eq!(replay(&damaged).expect_err(event).to_string(), refused);
    }
}

#[test]
fn what_never_happens_is_refused() {
    let log = pool_story().log();
    let event = log.replacen("\n0 backends", "\nnever tick\n0 backends", 1);
    let refused = again(&event).expect_err("it never ticks").to_string();
    assert!(refused.contains("line 3 ") && refused.contains("what never happens"), "{refused}");
    let beginning = log.replacen("\"at\":0}", "\"at\":18446744073709551615}", 1);
    let refused = again(&beginning).expect_err("it never begins").to_string();
    assert!(refused.contains("it never begins"), "{refused}");
    let resolver = resolver_story().log().replacen("\"at\":0}", "\"at\":18446744073709551615}", 1);
    let refused = again(&resolver).expect_err("nor does it").to_string();
    assert!(refused.contains("it never begins"), "{refused}");
}

#[test]
fn blank_lines_behind_its_end_make_no_log_shorter() {
    assert!(matches!(again(&(pool_story().log() + "\n  \n")), Ok(Seen::Well { .. })));
}

#[test]
fn a_state_that_is_not_as_it_was_written_is_refused() {
    let sim = pool_story();
    let tick = [(Timestamp::from_millis(1_000_000), Event::Tick)];
    let beginning = Beginning::state(sim.machine().clone());
    let log = Recorder::<PoolMachine>::retell(beginning, tick).expect("it begins").log();
    assert!(matches!(again(&log), Ok(Seen::Well { shadowed: false, .. })), "{:?}", again(&log));
    let header = log.lines().nth(1).expect("a header");
    // Each digit of it another one: a list that goes in a circle, a slot that is not there.
    let digits: Vec<_> = header.match_indices(|c: char| c.is_ascii_digit()).collect();
    assert!(digits.len() > 100, "{header}");
    for (at, digit) in digits {
        let mut other = header.to_owned();
        other.replace_range(at..=at, if digit == "1" { "2" } else { "1" });
        let refused = again(&log.replacen(header, &other, 1)).expect_err(&other);
        assert!(matches!(refused, ReplayError::Beginning { .. }), "{refused}");
    }
}

#[test]
fn a_log_may_begin_with_a_pool_that_had_ended() {
    let mut machine =
        PoolMachine::new(Policy::default(), &Dice::Seeded(7), Timestamp::EPOCH).expect("it is valid");
    machine.handle(Timestamp::EPOCH, Event::ShutDown, &mut Vec::new());
    let late = Event::Backends(vec![Backend::new("a", ([127, 0, 0, 1], 80).into())]);
    let beginning = Beginning::state(machine);
    let told = Recorder::<PoolMachine>::retell(beginning, [(Timestamp::EPOCH, late)]).expect("it begins");
    let seen = again(&told.log());
    assert!(matches!(seen, Ok(Seen::Well { shadowed: false, .. })), "{seen:?}");
}

#[test]
fn a_log_that_was_cut_off_says_so_wherever_it_was_cut() {
    for log in [pool_story().log(), resolver_story().log()] {
        for end in (0..log.len() - 2).step_by(53) {
            let error = replay(&log[..end]).expect_err("it is not whole");
            let said = error.to_string();
            assert!(
                said.contains("get a whole copy") || end < 11 && said.contains("give a file"),
                "{end}: {said}"
            );
        }
        let shorter = log.replacen("0 tick", "", 1).replacen("end ", "end 9", 1);
        assert!(replay(&shorter).is_err());
    }
}

#[test]
fn what_is_no_log_is_refused_with_what_to_do() {
    let log = pool_story().log();
    let cases = [
        ("", "not a log of qorb"),
        ("\u{7f}ELF", "give a file that `record_to`"),
        ("qorb log 1\n", "version '1', and version 2 is read here; replay it with the qorb that wrote it"),
        (&log.replacen("pool", "pump", 1), "of a machine 'pump'"),
        (&log.replacen("\"max_slots\":4", "\"max_slots\":0", 1), "max_slots must be at least 1"),
        (&log.replacen("max_slots", "max_sluts", 1), "unknown field `max_sluts`"),
        (
            &log.replacen("\n0 backends", "\nsoon backends", 1),
            "line 3 of the log cannot be read: 'soon' is no time",
        ),
        (&log.replacen("0 backends", "0 frontends", 1), "nobody knows the event 'frontends'"),
        (&format!("{log}0 tick\nend 1\n"), "goes on after it"),
        (&log.replacen("\nend ", "\nend 1", 1), "get a whole copy"),
    ];
    for (text, reason) in cases {
        let error = replay(text).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_policy_that_lacks_a_field_has_its_default() {
    let log = pool_story().log();
    let shorter = log.replacen("\"rebalance_interval\":{\"secs\":60,\"nanos\":0},", "", 1);
    assert_ne!(log, shorter);
    assert!(replay(&shorter).is_ok());
}
