//! A1 to A23: what an answer says.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use qorb_core::dns::{Addresses, Answer, Config, Failure, Kind, Note, Opinion, Unusable};
use qorb_tests::dns_world::{
    Asked, RTT, Reply, SERVICE, World, Zone, alias, host, name_server, record, soa, srv,
};

use super::{ONE, ms, plain, secs, world_of};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("a test's address is one")
}

/// The type, count and time to live of each accepted set of records, in order.
fn accepted(world: &World) -> Vec<(Kind, usize, u64)> {
    let mut accepted = Vec::new();
    for (_, note) in &world.notes {
        if let Note::Answered { question, answer: Answer::Records { count, ttl }, .. } = note {
            accepted.push((question.kind, *count, ttl.as_secs()));
        }
    }
    accepted
}

fn dropped(world: &World, wanted: Unusable) -> usize {
    let mut dropped = 0;
    for (_, note) in &world.notes {
        if let Note::Dropped { records, why, .. } = note {
            dropped += if *why == wanted { *records } else { 0 };
        }
    }
    dropped
}

fn failed(world: &World, wanted: Failure) -> usize {
    world.count(|note| matches!(note, Note::ServerFailed { why, .. } if *why == wanted))
}

/// A world whose server answers the service's question by `change`, and addresses from a zone of three.
fn answering(change: impl Fn(&Asked, &mut Message) + 'static) -> World {
    let mut world = World::new(&[ONE], plain(), 1);
    let mut honest = Zone::of(3).server();
    world.serve(ONE, move |asked| {
        if asked.question().1 != RecordType::SRV {
            return honest(asked);
        }
        let mut message = asked.answer();
        change(asked, &mut message);
        asked.reply(&message)
    });
    world
}

const ECHO1: &str = "echo001.test.com.";
const ECHO2: &str = "echo002.test.com.";

#[test]
fn a1_records_of_the_asked_type_are_the_answer() {
    let mut world = world_of(Zone::of(3));
    world.run_for(secs(1));
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3]));
    assert_eq!(&*world.resolver.set()[0].name, ECHO1);
}

#[test]
fn a2_aliases_are_followed_and_the_shortest_ttl_counts() {
    let mut world = answering(|_, message| {
        message.add_answer(record("two.test.com.", 60, srv(0, 0, 1, ECHO1)));
        message.add_answer(record("one.test.com.", 7, alias("two.test.com.")));
        message.add_answer(record(SERVICE, 50, alias("One.test.com.")));
    });
    world.run_for(secs(1));
    assert_eq!(world.addresses(), ["[fd00::1]:1"]);
    assert_eq!(accepted(&world)[0], (Kind::Srv, 1, 7));
}

#[test]
fn a2_eight_aliases_are_followed_and_nine_are_malformed() {
    for (aliases, backends) in [(8, 1), (9, 0)] {
        let mut world = answering(move |_, message| {
            let name = |step| if step == 0 { SERVICE.to_owned() } else { format!("a{step}.test.com.") };
            for step in 0..aliases {
                message.add_answer(record(&name(step), 60, alias(&name(step + 1))));
            }
            message.add_answer(record(&name(aliases), 60, srv(0, 0, 1, ECHO1)));
        });
        world.run_for(ms(10));
        assert_eq!(world.addresses().len(), backends, "{aliases} aliases");
        assert_eq!(failed(&world, Failure::Malformed), 1 - backends);
    }
}

#[test]
fn a3_a_chain_that_leaves_the_message_is_asked_further_and_counts_towards_eight() {
    let mut world = World::new(&[ONE], plain(), 1);
    let zone = Zone::of(1);
    world.serve(ONE, move |asked| {
        let (name, kind) = asked.question();
        if kind != RecordType::SRV {
            return asked.reply(&zone.answer(asked));
        }
        let mut message = asked.answer();
        match name.as_str() {
            SERVICE => message.add_answer(record(&name, 9, alias("elsewhere.test.com."))),
            _ => message.add_answer(record(&name, 60, srv(0, 0, 1, ECHO1))),
        };
        asked.reply(&message)
    });
    world.run_for(secs(1));
    assert_eq!(world.addresses(), ["[fd00::1]:1"]);
    assert_eq!(accepted(&world)[0], (Kind::Srv, 1, 9), "the alias's time counts on");

    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, |asked| {
        let mut message = asked.answer();
        let (name, _) = asked.question();
        message.add_answer(record(&name, 60, alias(&format!("x{name}"))));
        asked.reply(&message)
    });
    world.run_for(ms(100));
    assert_eq!(world.asked.len(), 9, "the service and eight aliases");
    assert_eq!(failed(&world, Failure::Malformed), 1);
}

#[test]
fn a4_a5_the_shortest_ttl_of_a_set_counts_and_seven_days_are_the_most() {
    for (ttls, expected) in
        [([600, 5], 5), ([u32::MAX, u32::MAX], 604_800), ([0x8000_0000, 604_801], 604_800)]
    {
        let mut world = answering(move |_, message| {
            message.add_answer(record(SERVICE, ttls[0], srv(0, 0, 1, ECHO1)));
            message.add_answer(record(SERVICE, ttls[1], srv(0, 0, 1, ECHO2)));
        });
        world.run_for(ms(10));
        assert_eq!(accepted(&world)[0], (Kind::Srv, 2, expected));
    }
}

#[test]
fn a6_b23_a_ttl_of_zero_is_used_and_asked_again_after_the_minimum_interval_without_flapping() {
    let mut world =
        world_of(Zone::of(0).with(SERVICE, 0, srv(0, 0, 1, ECHO1)).with(ECHO1, 0, host(ip("::5"))));
    world.run_for(secs(60));
    assert_eq!(world.sets.len(), 1, "published once, never removed");
    let rounds = world.count(|note| matches!(note, Note::RoundStarted { .. }));
    assert_eq!(rounds, 12, "one per five seconds");
}

#[test]
fn a6_a13_addresses_that_came_along_for_this_moment_only_are_not_asked_again_at_once() {
    let zone = Zone::of(0).with(SERVICE, 60, srv(0, 0, 1, ECHO1)).with(ECHO1, 0, host(ip("fd00::1")));
    let mut world = world_of(zone.sending_along(1));
    world.run_for(secs(1));
    assert_eq!((world.addresses(), world.asked.len()), (vec!["[fd00::1]:1".to_owned()], 1));
    world.run_for(secs(5));
    assert_eq!(world.asked.len(), 2, "but in the next round, which comes as soon as may be");
}

#[test]
fn a7_a_single_root_target_empties_the_set_at_once() {
    let mut world = world_of(Zone::of(2));
    world.run_for(secs(1));
    world.serve(ONE, Zone::of(0).with(SERVICE, 60, srv(0, 0, 1, ".")).server());
    world.run_for(secs(61));
    assert!(world.resolver.set().is_empty(), "without a second round");
    assert_eq!(world.count(|note| matches!(note, Note::RoundStarted { .. })), 2);
    assert_eq!(world.count(|note| matches!(note, Note::Answered { answer: Answer::NotOffered, .. })), 1);
}

#[test]
fn a8_a9_root_targets_and_port_zero_are_dropped_beside_real_records() {
    let mut world = answering(|_, message| {
        message.add_answer(record(SERVICE, 60, srv(0, 0, 0, ".")));
        message.add_answer(record(SERVICE, 60, srv(0, 0, 0, ECHO2)));
        message.add_answer(record(SERVICE, 60, srv(0, 0, 1, ECHO1)));
    });
    world.run_for(ms(10));
    assert_eq!(world.addresses(), ["[fd00::1]:1"]);
    assert_eq!((dropped(&world, Unusable::RootTarget), dropped(&world, Unusable::PortZero)), (1, 1));
}

#[test]
fn a9_nothing_but_port_zero_is_malformed_not_empty() {
    for others in [false, true] {
        let mut world = answering(move |_, message| {
            message.add_answer(record(SERVICE, 60, srv(0, 0, 0, ECHO1)));
            if others {
                message.add_answer(record(SERVICE, 60, srv(0, 0, 0, ".")));
            }
        });
        world.run_for(ms(10));
        assert_eq!(failed(&world, Failure::Malformed), 1);
    }
}

#[test]
fn a10_of_duplicates_the_best_rank_stays() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut world = answering(move |_, message| {
            let ranks = [(5, 9), (3, 1), (3, 4)];
            for index in order {
                let (priority, weight) = ranks[index];
                message.add_answer(record(SERVICE, 60, srv(priority, weight, 1, ECHO1)));
            }
        });
        world.run_for(ms(10));
        let ranks: Vec<_> =
            world.resolver.set().iter().map(|backend| (backend.priority, backend.weight)).collect();
        assert_eq!(ranks, [(3, 4)]);
    }
}

#[test]
fn a11_every_port_and_every_address_of_a_target_is_a_backend() {
    let zone = Zone::of(0)
        .with(SERVICE, 60, srv(0, 0, 1, "multi.test.com."))
        .with(SERVICE, 60, srv(0, 0, 2, "multi.test.com."))
        .with("multi.test.com.", 60, host(ip("fd00::1")))
        .with("multi.test.com.", 60, host(ip("fd00::2")))
        .with("multi.test.com.", 60, host(ip("10.0.0.1")));
    let mut world = World::new(&[ONE], Config { addresses: Addresses::Both, ..plain() }, 1);
    world.serve(ONE, zone.clone().server());
    world.run_for(secs(1));
    let both = ["10.0.0.1:1", "10.0.0.1:2", "[fd00::1]:1", "[fd00::1]:2", "[fd00::2]:1", "[fd00::2]:2"];
    assert_eq!(world.addresses(), both);
    let mut world = World::new(&[ONE], Config { addresses: Addresses::V4Only, ..plain() }, 1);
    world.serve(ONE, zone.server());
    world.run_for(secs(1));
    assert_eq!(world.addresses(), ["10.0.0.1:1", "10.0.0.1:2"]);
}

#[test]
fn a12_b21_the_order_of_records_has_no_effect() {
    let mut world = World::new(&[ONE], plain(), 1);
    let zone = Zone::of(20).sending_along(20);
    let mut turn = 0;
    world.serve(ONE, move |asked| {
        let mut message = zone.answer(asked);
        turn += 1;
        let (answers, additionals) = (message.answers.len().max(1), message.additionals.len().max(1));
        message.answers.rotate_left(turn % answers);
        message.additionals.rotate_left(turn * 7 % additionals);
        asked.reply(&message)
    });
    world.run_for(secs(1_000));
    assert_eq!(world.sets.len(), 1);
}

#[test]
fn a13_a14_additional_addresses_spare_questions_and_missing_ones_are_asked() {
    for (sent_along, questions) in [(0, 4), (1, 3), (3, 1)] {
        let mut world = world_of(Zone::of(3).sending_along(sent_along));
        world.run_for(secs(1));
        assert_eq!(world.asked.len(), questions);
        assert_eq!(world.addresses(), Zone::backends([1, 2, 3]));
    }
    let mut world = World::new(&[ONE], Config { trust_additional: false, ..plain() }, 1);
    world.serve(ONE, Zone::of(3).sending_along(3).server());
    world.run_for(secs(1));
    assert_eq!(world.asked.len(), 4, "unless they are not trusted");
}

#[test]
fn a13_poison_in_the_additional_section_is_not_used() {
    let mut world = answering(|_, message| {
        message.add_answer(record(SERVICE, 60, srv(0, 0, 1, ECHO1)));
        message.add_additional(record(ECHO2, 60, host(ip("6.6.6.6"))));
        message.add_additional(record(ECHO2, 60, host(ip("fd66::6"))));
        let mut chaos = record(ECHO1, 60, host(ip("fd66::7")));
        chaos.dns_class = hickory_proto::rr::DNSClass::CH;
        message.add_additional(chaos);
    });
    world.run_for(secs(1));
    assert_eq!(world.addresses(), ["[fd00::1]:1"], "asked for instead");
}

#[test]
fn a15_a_target_without_an_address_gives_no_backend_and_harms_no_other() {
    let zone = Zone::of(1)
        .with(SERVICE, 60, srv(0, 0, 1, "gone.test.com."))
        .with(SERVICE, 60, srv(0, 0, 1, "bare.test.com."))
        .with("bare.test.com.", 60, name_server("ns.test.com."));
    let mut world = world_of(zone);
    world.run_for(secs(1));
    assert_eq!(world.addresses(), Zone::backends([1]));
    let status = world.resolver.servers().next().expect("one server");
    assert_eq!((status.failures, status.opinion), (0, Opinion::Fresh));
}

#[test]
fn a16_b18_addresses_that_cannot_be_had_again_are_kept_and_others_are_published_at_once() {
    let mut world = world_of(Zone::of(4));
    world.run_for(secs(1));
    let moved = Zone::of(4).with_target(5).with_target(6);
    world.serve(ONE, move |asked| match asked.question().0.as_str() {
        "echo001.test.com." | "echo005.test.com." => Vec::new(),
        _ => asked.reply(&moved.answer(asked)),
    });
    world.run_for(secs(60));
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3, 4, 6]), "6 at once, 1 kept, 5 still unknown");
    assert!(world.open() > 0, "the lookup is not over");
    world.run_for(secs(10));
    assert_eq!(world.open(), 0);
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3, 4, 6]));
    world.serve(ONE, Zone::of(6).server());
    world.run_for(secs(60));
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3, 4, 5, 6]), "asked again in the next round");
}

#[test]
fn a17_a_target_that_disappears_is_not_resurrected_by_a_late_address() {
    let mut world = World::new(&[ONE], plain(), 1);
    let zone = Zone::of(2);
    world.serve(ONE, move |asked| match asked.question().0.as_str() {
        ECHO2 => asked.reply(&zone.answer(asked)).into_iter().map(|reply| reply.after(secs(30))).collect(),
        _ => asked.reply(&zone.answer(asked)),
    });
    world.run_for(secs(11));
    world.serve(ONE, Zone::of(1).server());
    world.run_for(secs(600));
    assert_eq!(world.sets.len(), 1);
    assert_eq!(world.addresses(), Zone::backends([1]));
}

#[test]
fn a18_a_target_that_is_an_alias_is_followed() {
    let zone = Zone::of(1).with(SERVICE, 60, srv(0, 0, 1, "nick.test.com.")).with(
        "nick.test.com.",
        60,
        alias(ECHO1),
    );
    let mut world = world_of(zone);
    world.run_for(secs(1));
    assert_eq!(world.addresses(), ["[fd00::1]:8001", "[fd00::1]:1"], "sorted by name first");
}

#[test]
fn a19_addresses_that_nobody_is_at_are_dropped() {
    let v4 = ["0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1"];
    let v6 = ["::", "ff02::1", "::1", "fe80::1", "::ffff:127.0.0.1"];
    let zone = Zone::of(0).with(SERVICE, 60, srv(0, 0, 1, "odd.test.com."));
    let zone = v4.iter().chain(&v6).fold(zone, |zone, text| zone.with("odd.test.com.", 60, host(ip(text))));
    let mut world = World::new(&[ONE], Config { addresses: Addresses::Both, ..plain() }, 1);
    world.serve(ONE, zone.server());
    world.run_for(secs(1));
    assert_eq!(
        world.addresses(),
        ["127.0.0.1:1", "[::1]:1", "[fe80::1]:1"],
        "B31: a mapped address is the plain one"
    );
    assert_eq!((dropped(&world, Unusable::Address), dropped(&world, Unusable::LinkLocal)), (5, 1));
}

#[test]
fn a20_an_answer_that_fits_nothing_is_malformed_and_does_not_empty_the_set() {
    let mut world = world_of(Zone::of(1));
    world.run_for(secs(1));
    let set = world.sets.len();
    for wrong in [record("_x.test.com.", 60, srv(0, 0, 1, ECHO1)), record(SERVICE, 60, host(ip("::1")))] {
        world.serve(ONE, move |asked| {
            let mut message = asked.answer();
            message.add_answer(wrong.clone());
            message.add_authority(record("test.com.", 60, soa(5)));
            asked.reply(&message)
        });
        world.run_for(secs(300));
        assert_eq!((world.sets.len(), world.addresses()), (set, Zone::backends([1])));
    }
    assert!(failed(&world, Failure::Malformed) > 4);
}

#[test]
fn a21_more_targets_and_backends_than_allowed_leave_the_best() {
    let zone = (1..=40_u16).fold(Zone::of(0), |zone, number| {
        let target = format!("t{number:02}.test.com.");
        zone.with(SERVICE, 60, srv(u16::from(number <= 20), 0, 1, &target))
            .with(&target, 60, host(ip(&format!("fd00::{number}"))))
            .with(&target, 60, host(ip(&format!("fd01::{number}"))))
    });
    let mut world = World::new(&[ONE], Config { max_targets: 30, max_backends: 45, ..plain() }, 1);
    world.serve(ONE, zone.server());
    world.run_for(secs(1));
    assert_eq!(dropped(&world, Unusable::TooManyTargets), 10);
    assert_eq!(world.resolver.set().len(), 45);
    let worse = world.resolver.set().iter().filter(|backend| backend.priority == 1);
    let worse: Vec<&str> = worse.map(|backend| &*backend.name).collect();
    let (t1, t2, t3) = ("t01.test.com.", "t02.test.com.", "t03.test.com.");
    assert_eq!(worse, [t1, t1, t2, t2, t3], "all 40 of the better priority, then by name");
    assert_eq!(dropped(&world, Unusable::TooManyAddresses), 14, "of targets behind the first 46 backends");
    assert_eq!(world.count(|note| matches!(note, Note::LeftOut { backends: 1 })), 1);
}

#[test]
fn a22_a_referral_is_an_error_of_the_server() {
    let mut world = answering(|_, message| {
        message.metadata.authoritative = false;
        message.add_authority(record("test.com.", 60, name_server("ns.test.com.")));
    });
    world.run_for(ms(10));
    assert_eq!(failed(&world, Failure::Lame), 1);
}

#[test]
fn a23_an_authority_section_does_not_hide_the_additional_one() {
    let mut world = answering(|_, message| {
        message.add_answer(record(SERVICE, 60, srv(0, 0, 1, "only.test.com.")));
        message.add_authority(record("test.com.", 60, name_server("ns.test.com.")));
        message.add_additional(record("only.test.com.", 60, host(ip("fd00::77"))));
    });
    world.run_for(ms(10));
    assert_eq!((world.addresses(), world.asked.len()), (vec!["[fd00::77]:1".to_owned()], 1));
}

#[test]
fn addresses_are_not_asked_again_before_they_expire() {
    let zone = (1..=100_u16).fold(Zone::of(0), |zone, number| {
        let target = format!("t{number}.test.com.");
        zone.with(SERVICE, 60, srv(0, 0, 1, &target)).with(
            &target,
            3_600,
            host(ip(&format!("fd00::{number:x}"))),
        )
    });
    let mut world = world_of(zone);
    world.run_for(secs(1));
    assert_eq!(world.opened, 102, "one truncated");
    world.run_for(secs(60));
    assert_eq!(world.opened, 104, "4.2: one question per round, by datagram and by stream");
    world.run_for(Duration::from_secs(3_600));
    assert!((204..=330).contains(&world.opened), "and the addresses once an hour: {}", world.opened);
}

#[test]
fn at_most_so_many_questions_are_under_way_at_one_server() {
    let mut world = World::new(&[ONE], Config { max_inflight_per_server: 4, ..plain() }, 1);
    world.serve(ONE, Zone::of(30).server());
    let mut most = 0;
    while world.step_until(qorb_core::Timestamp::from_millis(1_000)) {
        most = most.max(world.open());
    }
    assert_eq!((most, world.resolver.set().len()), (4, 30));
}

#[test]
fn a_reply_in_pieces_of_two_families_adds_each_at_once() {
    let mut world = World::new(&[ONE], Config { addresses: Addresses::Both, ..plain() }, 1);
    let zone = Zone::of(1).with(ECHO1, 60, host(ip("10.0.0.1")));
    world.serve(ONE, move |asked| {
        let after = if asked.question().1 == RecordType::A { ms(500) } else { RTT };
        asked.reply(&zone.answer(asked)).into_iter().map(|reply: Reply| reply.after(after)).collect()
    });
    world.run_for(secs(1));
    let sizes: Vec<usize> = world.sets.iter().map(|(_, set)| set.len()).collect();
    assert_eq!(sizes, [1, 2]);
}
