//! M1 to M5: several servers, and how what they say becomes one set.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use qorb_core::Timestamp;
use qorb_core::dns::{Config, Note, Opinion, StalePolicy};
use qorb_tests::dns_world::{SERVICE, World, Zone, host, srv};

use super::{ONE, THREE, TWO, ms, plain, secs, server};

fn world(config: Config, zones: &[Zone]) -> World {
    let addresses: Vec<_> = (1..=zones.len() as u8).map(server).collect();
    let mut world = World::new(&addresses, config, 5);
    for (address, zone) in addresses.into_iter().zip(zones) {
        world.serve(address, zone.clone().server());
    }
    world
}

fn only(targets: &[u16]) -> Zone {
    targets.iter().fold(Zone::of(0), |zone, target| zone.with_target(*target)).sending_along(99)
}

fn refusing(world: &mut World, address: SocketAddr, code: ResponseCode) {
    world.serve(address, move |asked| asked.reply(&asked.error(code)));
}

#[test]
fn m1_servers_are_asked_in_parallel_up_to_the_limit() {
    for (limit, most) in [(1, 1), (5, 5), (20, 8)] {
        let config = Config { max_dns_concurrency: limit, ..plain() };
        let mut world = world(config, &vec![only(&[1]); 8]);
        let mut seen = 0;
        while world.step_until(Timestamp::from_millis(1_000)) {
            seen = seen.max(world.open());
        }
        let asked: BTreeSet<_> = world.asked.iter().map(|asked| asked.server).collect();
        assert_eq!((seen, asked.len()), (most, 8));
    }
}

#[test]
fn m1_servers_that_fail_come_last_and_others_take_turns() {
    let config = Config { max_dns_concurrency: 1, ..plain() };
    let mut world = world(config, &[only(&[1]), only(&[1]), only(&[1])]);
    world.serve(TWO, |_| Vec::new());
    world.run_for(secs(400));
    let mut rounds: Vec<Vec<SocketAddr>> = Vec::new();
    for (_, note) in &world.notes {
        if let Note::RoundStarted { .. } = note {
            rounds.push(Vec::new());
        } else if let (Note::Asked { server, attempt: 1, .. }, Some(order)) = (note, rounds.last_mut()) {
            order.push(*server);
        }
    }
    let later = &rounds[1..rounds.len() - 1];
    assert!(later.len() > 3 && later.iter().all(|order| order.last() == Some(&TWO)), "{rounds:?}");
    let firsts: BTreeSet<SocketAddr> = later.iter().map(|order| order[0]).collect();
    assert_eq!(firsts, BTreeSet::from([ONE, THREE]));
}

#[test]
fn m2_additions_are_published_at_once_and_removals_at_the_end_of_the_round() {
    let mut world = world(plain(), &[only(&[1, 2]), only(&[1, 2])]);
    world.run_for(secs(1));
    world.serve(ONE, only(&[2, 3]).server());
    let slow = only(&[2, 3]);
    world.serve(TWO, move |asked| {
        asked.reply(&slow.answer(asked)).into_iter().map(|reply| reply.after(ms(900))).collect()
    });
    world.run_for(ms(59_500));
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3]), "the slow one may still know 1");
    world.run_for(secs(1));
    assert_eq!(world.addresses(), Zone::backends([2, 3]));
    assert_eq!(world.sets.len(), 3);
}

#[test]
fn m2_the_first_answer_is_published_though_the_others_hang() {
    let mut world = world(plain(), &[only(&[1]), only(&[2]), only(&[3])]);
    world.serve(TWO, |_| Vec::new());
    world.serve(THREE, |_| Vec::new());
    world.run_for(ms(2));
    assert_eq!((world.addresses(), world.sets[0].0), (Zone::backends([1]), Timestamp::from_millis(1)));
}

#[test]
fn m3_m5_servers_that_disagree_make_one_stable_union() {
    let mut world = world(plain(), &[only(&[1, 2]), only(&[2, 3]), only(&[4])]);
    world.run_for(secs(2_000));
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3, 4]));
    assert!(world.sets.windows(2).all(|two| two[0].1.len() < two[1].1.len()), "it only ever grew");
}

#[test]
fn m3_of_two_ranks_the_better_counts() {
    let zone = |priority, weight| {
        Zone::of(0)
            .with(SERVICE, 60, srv(priority, weight, 1, "x.test.com."))
            .with("x.test.com.", 60, host([10, 0, 0, 1].into()))
            .with("x.test.com.", 60, host([0xfd00, 0, 0, 0, 0, 0, 0, 1].into()))
    };
    for ranks in [[(5, 9), (3, 1), (3, 4)], [(3, 4), (5, 9), (3, 1)]] {
        let mut world = world(plain(), &ranks.map(|(priority, weight)| zone(priority, weight)));
        world.run_for(secs(1));
        let set = world.resolver.set();
        assert_eq!((set.len(), set[0].priority, set[0].weight), (1, 3, 4));
    }
}

#[test]
fn m3_a_failing_server_keeps_its_say_for_ten_minutes_while_another_answers() {
    let mut world = world(plain(), &[only(&[1]), only(&[2])]);
    world.run_for(secs(1));
    world.serve(TWO, |_| Vec::new());
    world.run_for(secs(600));
    assert_eq!(world.addresses(), Zone::backends([1, 2]));
    world.run_for(secs(140));
    assert_eq!(world.addresses(), Zone::backends([1]), "lapsed");
    assert_eq!(world.count(|note| matches!(note, Note::Lapsed { server } if *server == TWO)), 1);
    let opinions: Vec<Opinion> = world.resolver.servers().map(|status| status.opinion).collect();
    assert_eq!(opinions, [Opinion::Fresh, Opinion::Unknown]);
}

#[test]
fn m3_nothing_lapses_while_every_server_fails() {
    let mut world = world(plain(), &[only(&[1]), only(&[2])]);
    world.run_for(secs(1));
    world.serve(ONE, |_| Vec::new());
    world.serve(TWO, |_| Vec::new());
    world.run_for(secs(10_000));
    assert_eq!(world.addresses(), Zone::backends([1, 2]));
}

#[test]
fn n12_a_stale_set_is_not_given_up_in_a_round_in_which_a_server_named_backends() {
    let config = Config { stale: StalePolicy::KeepFor(ms(582_500)), ..plain() };
    let mut world = world(config, &[only(&[1, 2, 3]), only(&[1, 2, 3])]);
    world.run_for(secs(1));
    world.serve(ONE, |_| Vec::new());
    world.serve(TWO, |_| Vec::new());
    world.run_for(secs(569));
    assert!(world.resolver.stale_since().is_some());
    world.serve(ONE, only(&[1, 2, 3]).server());
    world.run_for(secs(20));
    let heard = world.notes.iter().rfind(|(_, note)| matches!(note, Note::Answered { server: ONE, .. }));
    let heard = heard.expect("it answered").0.as_nanos() / 1_000_000_000;
    assert_eq!(heard, 582, "before the set expires, half a second later");
    assert!(world.count(|note| matches!(note, Note::RoundEnded { positive: 1, failed: 1, .. })) == 1);
    assert_eq!((world.sets.len(), world.addresses()), (1, Zone::backends([1, 2, 3])), "no gap");
    assert_eq!(world.resolver.stale_since(), None);
}

#[test]
fn m4_what_no_server_names_any_more_goes_when_somebody_answered() {
    let mut world = world(plain(), &[only(&[1, 2]), only(&[1, 2])]);
    world.run_for(secs(1));
    world.serve(ONE, only(&[1]).server());
    world.run_for(secs(60));
    assert_eq!(world.addresses(), Zone::backends([1, 2]), "the other one names it");
    world.serve(TWO, only(&[1]).server());
    world.run_for(secs(60));
    assert_eq!(world.addresses(), Zone::backends([1]));
}

#[test]
fn n10_one_positive_server_of_three_is_enough() {
    let mut world = world(plain(), &[only(&[1]), only(&[1]), only(&[1])]);
    refusing(&mut world, TWO, ResponseCode::NXDomain);
    refusing(&mut world, THREE, ResponseCode::ServFail);
    world.run_for(secs(3_000));
    assert_eq!((world.addresses(), world.sets.len()), (Zone::backends([1]), 1));
    assert_eq!(world.resolver.stale_since(), None);
}

#[test]
fn n10_a_root_target_of_one_server_does_not_overrule_another() {
    let mut world = world(plain(), &[only(&[1]), Zone::of(0).with(SERVICE, 60, srv(0, 0, 0, "."))]);
    world.run_for(secs(600));
    assert_eq!((world.addresses(), world.sets.len()), (Zone::backends([1]), 1));
}

#[test]
fn n11_what_a_silent_server_once_said_outweighs_denials() {
    // DNS.md 4.3: denials count only while no view is positive.
    let mut world = world(plain(), &[only(&[1]), only(&[2])]);
    world.run_for(secs(1));
    refusing(&mut world, ONE, ResponseCode::NXDomain);
    world.serve(TWO, |_| Vec::new());
    world.run_for(secs(500));
    assert_eq!(world.addresses(), Zone::backends([2]));
    assert!(world.resolver.stale_since().is_some(), "but nobody confirms it");
    refusing(&mut world, TWO, ResponseCode::NXDomain);
    let ended = |world: &World| world.count(|note| matches!(note, Note::RoundEnded { .. }));
    let denied = |note: &Note| matches!(note, Note::RoundEnded { negative: 2, .. });
    while world.count(denied) == 0 {
        world.step_until(Timestamp::NEVER);
    }
    assert_eq!(world.addresses(), Zone::backends([2]), "what was said before both denied confirms nothing");
    let first = ended(&world);
    while ended(&world) == first {
        world.step_until(Timestamp::NEVER);
    }
    assert!(world.resolver.set().is_empty());
}

#[test]
fn n5_a_server_that_reports_an_error_rests_while_others_are_asked() {
    let short = Zone::of(0).with(SERVICE, 5, srv(0, 0, 1, "x.test.com."));
    let short = short.with("x.test.com.", 9_999, host([0xfd00, 0, 0, 0, 0, 0, 0, 1].into()));
    let mut world = world(plain(), &[short, only(&[1])]);
    refusing(&mut world, TWO, ResponseCode::ServFail);
    world.run_for(secs(600));
    let rested: Vec<u64> = world
        .asked
        .iter()
        .filter(|asked| asked.server == TWO)
        .map(|asked| asked.at.as_nanos() / 1_000_000_000)
        .collect();
    let gaps: Vec<u64> = rested.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(gaps[..7], [5, 5, 5, 10, 20, 35, 60], "1, 2, 4, 8, 16, 32, 60 s, at the next round");
    assert!(gaps[7..].iter().all(|gap| (60..=65).contains(gap)), "{gaps:?}");
    assert!(world.asked.iter().filter(|asked| asked.server == ONE).count() > 100, "the other one every 5 s");
}

#[test]
fn a_failure_of_every_server_does_not_wait_for_the_one_that_rests() {
    let mut world = world(plain(), &[only(&[1]), only(&[1])]);
    refusing(&mut world, TWO, ResponseCode::ServFail);
    world.run_for(secs(1_000));
    refusing(&mut world, ONE, ResponseCode::ServFail);
    world.run_for(secs(300));
    world.serve(TWO, only(&[1, 2]).server());
    world.run_for(secs(61));
    assert_eq!(world.addresses(), Zone::backends([1, 2]));
}

#[test]
fn m7_a_server_that_failed_three_rounds_in_a_row_gets_one_plain_datagram_a_round_until_it_answers() {
    let mut world = world(plain(), &[only(&[1, 2]), only(&[1, 2])]);
    world.serve(TWO, |_| Vec::new());
    world.run_for(secs(300));
    let mut attempts = Vec::new();
    for (_, note) in &world.notes {
        if let Note::RoundStarted { .. } = note {
            attempts.push(0);
        } else if let (Note::Asked { server: TWO, .. }, Some(sent)) = (note, attempts.last_mut()) {
            *sent += 1;
        }
    }
    assert_eq!(attempts, [3, 3, 3, 1, 1], "M7: failed three times, then probed");
    assert!(world.asked.iter().rfind(|asked| asked.server == TWO).expect("probed").message.edns.is_none());
    world.serve(ONE, only(&[1]).server());
    let ended = |world: &World| world.count(|note| matches!(note, Note::RoundEnded { .. }));
    let before = ended(&world);
    while ended(&world) == before {
        world.step_until(Timestamp::NEVER);
    }
    let begun = world.notes.iter().rfind(|(_, note)| matches!(note, Note::RoundStarted { .. }));
    assert_eq!(
        world.now.since(begun.expect("it began").0),
        secs(1),
        "M7: a removal waits no longer than that"
    );
    // What it says once it is back is asked for with all that it knows.
    world.serve(TWO, Zone::of(3).server());
    world.run_for(secs(62));
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3]));
    let back: Vec<_> = world.asked.iter().filter(|asked| asked.server == TWO).collect();
    let edns: Vec<bool> = back[back.len() - 4..].iter().map(|asked| asked.message.edns.is_some()).collect();
    assert_eq!(edns, [false, true, true, true]);
    let known = world.asked.len();
    world.serve(TWO, |_| Vec::new());
    world.run_for(secs(62));
    let again = world.asked[known..].iter().filter(|asked| asked.server == TWO).count();
    assert_eq!(again, 3, "M7: once it has answered it is asked as ever");
}

#[test]
fn b22_random_parts_of_a_set_flap_unless_what_vanishes_is_held() {
    for (hold, flaps) in [(0, true), (180, false)] {
        let mut world = world(Config { removal_hold: secs(hold), ..plain() }, &[only(&[])]);
        let mut turn = 0;
        world.serve(ONE, move |asked| {
            turn += 1;
            // Three of six, each at least every third time.
            let part = [turn % 6 + 1, (turn + 2) % 6 + 1, (turn + 4) % 6 + 1];
            asked.reply(&only(&part).answer(asked))
        });
        world.run_for(secs(200));
        let found = world.sets.len();
        world.run_for(secs(6_000));
        assert_eq!(world.sets.len() > found, flaps, "B22: held for {hold} s");
        assert_eq!(world.addresses().len(), if flaps { 3 } else { 6 });
    }
}

#[test]
fn b22_what_is_held_goes_after_that_time_and_at_once_where_nothing_is_offered() {
    let mut world = world(Config { removal_hold: secs(100), ..plain() }, &[only(&[1, 2])]);
    world.run_for(secs(1));
    world.serve(ONE, only(&[2, 3]).server());
    world.run_for(secs(120));
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3]), "vanished at 60 s");
    world.run_for(secs(60));
    assert_eq!(world.addresses(), Zone::backends([2, 3]), "gone at 180 s");
    world.serve(ONE, only(&[3]).server());
    world.run_for(secs(60));
    assert_eq!(world.addresses(), Zone::backends([2, 3]));
    world.serve(ONE, Zone::of(0).with(SERVICE, 60, srv(0, 0, 0, ".")).server());
    world.run_for(secs(60));
    assert!(world.resolver.set().is_empty());
    world.serve(ONE, only(&[3]).server());
    world.run_for(secs(60));
    assert_eq!(world.addresses(), Zone::backends([3]), "what was given up is not held");
}

#[test]
fn every_round_ends_within_its_bound() {
    // ceil(7 / 3) lookups of 10 s, one after the other.
    let config = Config { max_dns_concurrency: 3, ..plain() };
    let mut world = world(config, &vec![only(&[1]); 7]);
    for address in (1..=7).map(server) {
        world.serve(address, |asked| {
            let answer = Zone::of(60).answer(asked);
            if asked.question().0 == SERVICE { asked.reply(&answer) } else { Vec::new() }
        });
    }
    world.run_for(secs(31));
    assert_eq!(world.count(|note| matches!(note, Note::RoundEnded { .. })), 1);
    let ended = world.notes.iter().find(|(_, note)| matches!(note, Note::RoundEnded { .. }));
    assert!(ended.expect("it ended").0 <= Timestamp::from_millis(30_000), "I11");
}
