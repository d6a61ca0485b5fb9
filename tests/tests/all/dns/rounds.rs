//! N1 to N12 and L1 to L7: absence, errors and time, with one server.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use qorb_core::dns::{
    Addresses, Answer, Config, ConfigError, Event, Failure, Note, Opinion, Resolver, StalePolicy, Verdict,
};
use qorb_core::{Machine, Timestamp};
use qorb_tests::dns_world::{SERVICE, World, Zone, alias, host, record, srv};

use super::{ONE, ms, plain, secs, world_of};

/// When each round started, in milliseconds.
fn rounds(world: &World) -> Vec<u64> {
    let started = world.notes.iter().filter(|(_, note)| matches!(note, Note::RoundStarted { .. }));
    started.map(|(at, _)| at.as_nanos() / 1_000_000).collect()
}

fn refusing(code: ResponseCode) -> World {
    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, move |asked| asked.reply(&asked.error(code)));
    world
}

/// Three backends are published; then the server says something else.
fn spoilt(config: Config, code: ResponseCode) -> World {
    let mut world = World::new(&[ONE], config, 1);
    world.serve(ONE, Zone::of(3).sending_along(3).server());
    world.run_for(secs(1));
    world.serve(ONE, move |asked| asked.reply(&asked.error(code)));
    world
}

#[test]
fn n1_n11_nothing_there_empties_the_set_only_when_it_was_said_twice() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let mut world = spoilt(plain(), code);
        world.run_for(secs(60));
        assert_eq!((rounds(&world).len(), world.sets.len()), (2, 1), "once is a blip");
        world.run_for(secs(11));
        assert_eq!(world.addresses(), Vec::<String>::new(), "twice is the truth");
        let status = world.resolver.servers().next().expect("one server");
        assert_eq!((status.opinion, status.failures), (Opinion::Negative, 0));
    }
}

#[test]
fn n11_one_confirmation_is_enough_if_configured() {
    let mut world = spoilt(Config { negative_confirmations: 1, ..plain() }, ResponseCode::NXDomain);
    world.run_for(secs(60));
    assert!(world.resolver.set().is_empty());
}

#[test]
fn n11_b19_a_server_that_denies_every_other_time_keeps_its_set() {
    let mut world = World::new(&[ONE], plain(), 1);
    let mut honest = Zone::of(3).sending_along(3).server();
    let mut turn = 0;
    world.serve(ONE, move |asked| {
        turn += u32::from(asked.question().1 == RecordType::SRV);
        if turn % 2 == 0 { asked.reply(&asked.error(ResponseCode::NXDomain)) } else { honest(asked) }
    });
    world.run_for(secs(2_000));
    assert!(rounds(&world).len() > 40);
    assert_eq!(world.sets.len(), 1);
}

#[test]
fn n11_failures_between_denials_confirm_nothing() {
    let mut world = spoilt(plain(), ResponseCode::NXDomain);
    let mut turn = 0;
    world.serve(ONE, move |asked| {
        turn += 1;
        let code = if turn % 2 == 0 { ResponseCode::ServFail } else { ResponseCode::NXDomain };
        asked.reply(&asked.error(code))
    });
    world.run_for(secs(2_000));
    assert_eq!(world.sets.len(), 1);
}

#[test]
fn n2_an_absent_address_is_not_asked_again_before_it_may_and_n3_without_a_start_of_authority_every_round() {
    let zone = || Zone::of(1).with(SERVICE, 20, srv(0, 0, 1, "v4.test.com."));
    let zone = || zone().with("v4.test.com.", 9_999, host([10, 0, 0, 1].into()));
    for (zone, expected) in [(zone(), 3), (zone().without_authority(), 4)] {
        let mut world = World::new(&[ONE], Config { addresses: Addresses::Both, ..plain() }, 1);
        world.serve(ONE, zone.server());
        world.run_for(secs(65));
        assert_eq!(rounds(&world).len(), 4);
        let absent = ("v4.test.com.".to_owned(), RecordType::AAAA);
        let asked = world.asked.iter().filter(|asked| asked.question() == absent).count();
        // Good for 30 seconds: asked at 0 and 40 s, or in every round.
        assert_eq!(asked, if expected == 3 { 2 } else { 4 });
    }
}

#[test]
fn n2_n3_a_denied_service_is_asked_again_after_the_configured_time_whatever_the_server_says() {
    for zone in [Zone::of(0), Zone::of(0).without_authority()] {
        let mut world = world_of(zone);
        world.run_for(secs(31));
        assert_eq!(rounds(&world), [0, 10_001, 20_002, 30_003]);
        assert!(world.sets.is_empty(), "there is nothing to publish");
    }
}

#[test]
fn n1_an_absent_family_does_not_take_the_other_one_with_it() {
    // RFC 4074 §4.2: some servers say NXDOMAIN for AAAA though there is an A record.
    for slow in [RecordType::A, RecordType::AAAA] {
        let zone = Zone::of(0).with(SERVICE, 60, srv(0, 0, 1, "x.test.com."));
        let zone = zone.with("x.test.com.", 60, host([10, 0, 0, 1].into()));
        let mut world = World::new(&[ONE], Config { addresses: Addresses::Both, ..plain() }, 1);
        world.serve(ONE, move |asked| {
            let kind = asked.question().1;
            let after = if kind == slow { ms(9) } else { ms(1) };
            let absent = asked.error(ResponseCode::NXDomain);
            let message = if kind == RecordType::AAAA { absent } else { zone.answer(asked) };
            asked.reply(&message).into_iter().map(|reply| reply.after(after)).collect()
        });
        world.run_for(secs(100));
        assert_eq!(
            (world.sets.len(), world.addresses()),
            (1, vec!["10.0.0.1:1".to_owned()]),
            "whatever is first"
        );
    }
}

#[test]
fn n4_a_denial_with_an_answer_is_malformed() {
    let mut world = world_of(Zone::of(1));
    world.serve(ONE, |asked| {
        let mut message = Zone::of(1).answer(asked);
        message.metadata.response_code = ResponseCode::NXDomain;
        asked.reply(&message)
    });
    world.run_for(ms(10));
    assert_eq!(world.count(|note| matches!(note, Note::ServerFailed { why: Failure::Malformed, .. })), 1);
}

#[test]
fn n5_n7_n9_an_error_with_nothing_known_is_retried_from_one_second_on() {
    for code in [ResponseCode::ServFail, ResponseCode::NotAuth] {
        let mut world = refusing(code);
        world.run_for(secs(40));
        assert_eq!(rounds(&world), [0, 1_001, 3_002, 7_003, 15_004, 25_005, 35_006], "1, 2, 4, 8, then 10 s");
        assert_eq!(world.asked.len(), 7, "no further attempt in a round");
        assert!(world.sets.is_empty());
    }
}

#[test]
fn n6_a_refusal_is_asked_once_per_round_and_is_no_denial() {
    let mut world = spoilt(plain(), ResponseCode::Refused);
    world.run_for(secs(600));
    assert_eq!(world.sets.len(), 1, "the set stays");
    let status = world.resolver.servers().next().expect("one server");
    assert_eq!((status.opinion, status.last.map(|last| last.0)), (Opinion::Refused, Some(Verdict::Refused)));
    assert_eq!(world.asked.len(), rounds(&world).len());
}

#[test]
fn n8_l2_b20_servers_dead_for_a_day_keep_the_set_and_recovery_is_one_step_away() {
    let mut world = world_of(Zone::of(3).sending_along(3));
    world.run_for(secs(1));
    world.serve(ONE, |_| Vec::new());
    world.run_for(secs(24 * 3_600));
    assert_eq!(world.sets.len(), 1);
    let since = world.resolver.stale_since().expect("nobody confirms it");
    assert_eq!(since.as_nanos(), 1_000_000, "since the last answer");
    assert_eq!(world.count(|note| matches!(note, Note::Stale { .. })), 1, "said once");
    let mut pauses = Vec::new();
    for (at, note) in &world.notes {
        if let Note::RoundEnded { failed: 1, next, .. } = note {
            pauses.push(next.since(*at).as_secs());
        }
    }
    assert_eq!(pauses[..8], [5, 5, 5, 8, 16, 32, 60, 60]);
    assert!(pauses.len() > 1_400 && pauses[8..].iter().all(|pause| *pause == 60));

    world.serve(ONE, Zone::of(4).server());
    world.run_for(secs(68));
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3, 4]));
    assert_eq!(world.resolver.stale_since(), None);
}

#[test]
fn n12_a_stale_set_is_given_up_after_the_configured_time_and_not_before() {
    let config = Config { stale: StalePolicy::KeepFor(secs(600)), ..plain() };
    let mut world = spoilt(config, ResponseCode::ServFail);
    world.run_for(secs(598));
    assert_eq!(world.resolver.set().len(), 3);
    world.run_for(secs(2));
    assert!(world.resolver.set().is_empty());
    assert_eq!(world.sets.last().expect("published").0.as_nanos(), 600_001_000_000);
    world.serve(ONE, Zone::of(3).sending_along(3).server());
    world.run_for(secs(61));
    assert_eq!(world.resolver.set().len(), 3, "and found again");
}

#[test]
fn n12_a_span_shorter_than_a_round_expires_when_the_round_has_failed() {
    let config = Config { stale: StalePolicy::KeepFor(secs(1)), ..plain() };
    let mut world = spoilt(config, ResponseCode::ServFail);
    world.run_for(secs(58));
    assert_eq!(world.resolver.set().len(), 3, "what was not denied is not stale");
    world.run_for(secs(2));
    assert!(world.resolver.set().is_empty());
}

#[test]
fn l1_the_next_round_comes_when_the_first_record_expires_within_bounds() {
    for (ttl, expected) in [(1, 5), (5, 5), (20, 20), (60, 60), (3_600, 60)] {
        let zone = Zone::of(0).with(SERVICE, 9_999, srv(0, 0, 1, "x.test.com."));
        let mut world = world_of(zone.with("x.test.com.", ttl, host([0xfd00, 0, 0, 0, 0, 0, 0, 1].into())));
        world.run_for(ms(10));
        let next = world.resolver.next_round().expect("the round is over").since(Timestamp::from_millis(2));
        assert_eq!(next.as_secs(), expected, "TTL {ttl}");
    }
}

#[test]
fn l1_jitter_goes_forward_only_and_by_a_tenth_at_most() {
    let mut distinct = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut world = World::new(&[ONE], Config { jitter_percent: 10, ..plain() }, seed);
        world.serve(ONE, Zone::of(1).server());
        world.run_for(ms(10));
        let next = world.resolver.next_round().expect("the round is over").since(Timestamp::from_millis(2));
        assert!((secs(60)..=secs(66)).contains(&next), "{next:?}");
        distinct.insert(next);
    }
    assert!(distinct.len() > 150);
}

#[test]
fn l3_expired_records_are_stale_and_stay() {
    let mut world = world_of(Zone::of(2).sending_along(2));
    world.run_for(secs(1));
    world.serve(ONE, |_| Vec::new());
    world.run_for(secs(70));
    let status = world.resolver.servers().next().expect("one server");
    assert_eq!((status.opinion, world.sets.len()), (Opinion::Stale, 1));
}

#[test]
fn l4_a_hard_coded_ttl_replaces_every_other_and_a_moved_target_is_still_noticed() {
    for ttl in [1, 100_000] {
        let zone = |last| {
            let address = [0xfd00, 0, 0, 0, 0, 0, 0, last].into();
            Zone::of(0).with(SERVICE, ttl, srv(0, 0, 1, "x.test.com.")).with(
                "x.test.com.",
                ttl,
                host(address),
            )
        };
        let mut world = World::new(&[ONE], Config { hardcoded_ttl: Some(Duration::MAX), ..plain() }, 1);
        world.serve(ONE, zone(1).server());
        world.run_for(secs(121));
        assert_eq!(rounds(&world), [0, 60_002, 120_004], "the wire's TTL {ttl} has no influence");
        world.serve(ONE, zone(2).server());
        world.run_for(secs(60));
        assert_eq!(world.addresses(), ["[fd00::2]:1"]);
        world.serve(ONE, |_| Vec::new());
        world.run_for(secs(100_000));
        let status = world.resolver.servers().next().expect("one server");
        assert_eq!(status.opinion, Opinion::Fresh, "never stale");
    }
}

#[test]
fn l5_a_hint_starts_a_round_unless_one_ran_just_now() {
    let mut world = world_of(Zone::of(1));
    world.run_for(secs(20));
    world.handle(Event::ResolveNow);
    assert_eq!(rounds(&world), [0, 20_000], "at once");
    world.handle(Event::ResolveNow);
    world.run_for(secs(1));
    for _ in 0..100 {
        world.handle(Event::ResolveNow);
    }
    assert_eq!(rounds(&world).len(), 2, "not during a round, not right after");
    world.run_for(secs(9));
    assert_eq!(rounds(&world), [0, 20_000, 25_001], "but as soon as may be");
}

#[test]
fn l6_b27_a_clock_that_jumps_causes_one_round() {
    for before in [ms(0), ms(500), secs(30)] {
        let mut world = world_of(Zone::of(1));
        world.run_for(before);
        let ran = rounds(&world).len();
        world.now = world.now.after(secs(36_000));
        world.handle(Event::Tick);
        world.run_for(ms(100));
        assert_eq!(
            rounds(&world).len(),
            ran.max(usize::from(before.is_zero())) + usize::from(!before.is_zero())
        );
    }
}

#[test]
fn l6_time_never_goes_back() {
    let mut world = world_of(Zone::of(1));
    world.run_for(secs(30));
    world.now = Timestamp::EPOCH;
    let mut out = Vec::new();
    world.resolver.handle(Timestamp::EPOCH, Event::Tick, &mut out);
    assert!(out.is_empty());
}

#[test]
fn l7_b28_the_end_closes_everything_in_one_call_from_every_state() {
    for steps in 0..40 {
        let config = Config { addresses: Addresses::Both, ..plain() };
        let mut world = World::new(&[ONE, super::TWO], config, 1);
        // A hundred targets: by datagram, then by stream, then many questions; the other server is silent.
        world.serve(ONE, Zone::of(100).server());
        for _ in 0..steps {
            world.step_until(Timestamp::from_millis(60_000));
        }
        let open = world.open();
        world.handle(Event::ShutDown);
        let forgotten =
            |action: &&qorb_core::dns::Action| matches!(action, qorb_core::dns::Action::Forget(_));
        assert_eq!(world.latest.iter().filter(forgotten).count(), open);
        assert_eq!(world.latest.len(), open, "nothing else");
        // The world asserts that nothing follows.
        for event in [Event::Tick, Event::ResolveNow, Event::ShutDown] {
            world.handle(event);
        }
        assert_eq!(world.resolver.deadline(), None);
    }
}

#[test]
fn the_first_tick_starts_the_first_round() {
    let now = Timestamp::from_millis(77);
    let resolver = Resolver::new("_Echo._TCP.test.com", &[ONE], Config::default(), [0; 32], now);
    let mut resolver = resolver.expect("all is well");
    assert_eq!(resolver.service(), SERVICE, "lower case, fully qualified");
    assert_eq!(resolver.deadline(), Some(now));
    let mut out = Vec::new();
    resolver.handle(now, Event::Tick, &mut out);
    assert_eq!(out.len(), 3, "round started, asked, ask: {out:?}");
}

#[test]
fn what_would_stall_or_spin_is_refused() {
    let new =
        |name: &str, servers: &[_], config| Resolver::new(name, servers, config, [0; 32], Timestamp::EPOCH);
    let config = Config::default;
    let long = "a.".repeat(128);
    let too_large = |field, most| ConfigError::TooLarge { field, most };
    let cases = [
        (new("", &[ONE], config()), ConfigError::EmptyName),
        (new(".", &[ONE], config()), ConfigError::EmptyName),
        (new("a..b", &[ONE], config()), ConfigError::InvalidName),
        (new("a b", &[ONE], config()), ConfigError::InvalidName),
        (new(&"x".repeat(64), &[ONE], config()), ConfigError::InvalidName),
        (new(&long, &[ONE], config()), ConfigError::InvalidName),
        (new("a", &[], config()), ConfigError::NoServer),
        (new("a", &[ONE], Config { query_timeout: Duration::ZERO, ..config() }), zero("query_timeout")),
        (new("a", &[ONE], Config { query_interval: Duration::ZERO, ..config() }), zero("query_interval")),
        (new("a", &[ONE], Config { max_dns_concurrency: 0, ..config() }), zero("max_dns_concurrency")),
        (new("a", &[ONE], Config { jitter_percent: 101, ..config() }), too_large("jitter_percent", 100)),
        (new("a", &[ONE], Config { attempts: 0, ..config() }), zero("attempts")),
        (new("a", &[ONE], Config { attempts: 6, ..config() }), too_large("attempts", 5)),
    ];
    for (made, error) in cases {
        let refused = made.expect_err("this is refused");
        assert_eq!(refused, error);
        assert!(!refused.to_string().contains('\n') && refused.to_string().contains(": "), "{refused}");
    }
}

fn zero(field: &'static str) -> ConfigError {
    ConfigError::Zero { field }
}

#[test]
fn an_accepted_denial_is_noted_with_the_time_it_is_good_for() {
    let mut world = world_of(Zone::of(0));
    world.run_for(ms(10));
    let ttl = Some(secs(30));
    assert_eq!(world.count(|note| matches!(note, Note::Answered { answer: Answer::Negative { ttl: noted }, .. } if *noted == ttl)), 1);
}

#[test]
fn n1_a_denial_at_the_end_of_an_alias_is_one_though_nobody_says_for_how_long() {
    let mut world = world_of(Zone::of(0));
    world.serve(ONE, |asked| {
        let mut message = asked.error(ResponseCode::NXDomain);
        message.add_answer(record(SERVICE, 60, alias("gone.test.com.")));
        asked.reply(&message)
    });
    world.run_for(ms(10));
    assert_eq!(world.asked.len(), 1, "there is nothing to ask further");
    assert_eq!(
        world.count(|note| matches!(note, Note::Answered { answer: Answer::Negative { ttl: None }, .. })),
        1
    );
}

#[test]
fn b3_an_answer_after_the_deadline_is_ignored() {
    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, Zone::of(1).server());
    world.run_for(secs(1));
    world.serve(ONE, |_| Vec::new());
    world.run_for(secs(60));
    let late = world.asked.last().expect("asked in the second round").clone();
    world.run_for(secs(8));
    assert_eq!(world.open(), 0);
    let before = (world.sets.len(), world.resolver.next_round(), world.resolver.stale_since());
    let answer = Zone::of(5).answer(&late).to_vec().expect("encodes");
    world.handle(Event::Datagram(late.query, answer));
    assert_eq!(world.latest.len(), 1, "one note: {:?}", world.latest);
    assert_eq!((world.sets.len(), world.resolver.next_round(), world.resolver.stale_since()), before);
}

#[test]
fn what_is_not_set_is_what_the_table_of_section_four_says() {
    let expected = Config {
        resolver_service: None,
        max_dns_concurrency: 5,
        query_interval: secs(60),
        query_retry_if_no_records_found: secs(10),
        query_timeout: secs(10),
        hardcoded_ttl: None,
        attempt_timeout: secs(1),
        attempts: 3,
        min_query_interval: secs(5),
        stale: StalePolicy::KeepForever,
        negative_confirmations: 2,
        removal_hold: Duration::ZERO,
        addresses: Addresses::Both,
        edns_payload: Some(1232),
        trust_additional: true,
        transport: qorb_core::dns::Transport::UdpThenTcp,
        max_targets: 1024,
        max_backends: 1024,
        max_dns_servers: 16,
        max_inflight_per_server: 16,
        jitter_percent: 10,
    };
    assert_eq!(Config::default(), expected);
}

#[test]
fn targets_none_of_whose_addresses_can_be_had_do_not_empty_the_set() {
    let mut world = world_of(Zone::of(3).sending_along(3));
    world.run_for(secs(1));
    world.serve(ONE, |asked| {
        let zone = Zone::of(0).with(SERVICE, 60, srv(0, 0, 1, "new.test.com."));
        if asked.question().1 == RecordType::SRV { asked.reply(&zone.answer(asked)) } else { Vec::new() }
    });
    world.run_for(secs(3_600));
    assert_eq!(world.sets.len(), 1);
    assert!(world.count(|note| matches!(note, Note::ServerFailed { why: Failure::NoAddress, .. })) > 10);
}

#[test]
fn targets_that_come_and_go_leave_nothing_behind() {
    let mut world = world_of(Zone::of(1));
    let mut turn = 0;
    world.serve(ONE, move |asked| {
        turn += u32::from(asked.question().1 == RecordType::SRV);
        let target = format!("t{turn:06}.test.com.");
        let zone = Zone::of(0).with(SERVICE, 5, srv(0, 0, 1, &target));
        let zone = zone.with(&target, 9_999, host([0xfd00, 0, 0, 0, 0, 0, 0, 1].into()));
        asked.reply(&zone.answer(asked))
    });
    world.run_for(secs(100));
    let before = format!("{:?}", world.resolver).len();
    world.run_for(secs(1_000));
    assert!(format!("{:?}", world.resolver).len() < before + 64, "the state does not grow");
}
