//! T1 to T19: how a question travels, and which messages answer it.

use std::collections::BTreeSet;

use hickory_proto::op::{MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use qorb_core::dns::{
    Action, Answer, Config, Event, Failure, Mismatch, Note, QueryId, SocketFailure, Transport,
};
use qorb_tests::dns_world::{Asked, Connects, RTT, Reply, SERVICE, World, Zone, framed, name, record, srv};

use super::{ONE, ms, plain, secs, server, world_of};

/// A server that does something else for the first datagram of each question, and then behaves.
fn first_otherwise(zone: Zone, mut first: impl FnMut(&Asked) -> Vec<Reply> + 'static) -> World {
    let mut world = World::new(&[ONE], plain(), 1);
    let mut seen = BTreeSet::new();
    let mut honest = zone.server();
    world.serve(ONE, move |asked| if seen.insert(asked.question()) { first(asked) } else { honest(asked) });
    world
}

#[test]
fn t1_a_question_is_plain_recursive_and_advertises_1232_bytes() {
    let mut world = world_of(Zone::of(1));
    world.run_for(secs(1));
    let asked = &world.asked[0];
    let message = &asked.message;
    assert_eq!(message.metadata.message_type, MessageType::Query);
    assert_eq!(message.metadata.op_code, OpCode::Query);
    assert!(message.metadata.recursion_desired && !message.metadata.truncation);
    assert_eq!(message.queries, [Query::query(name(SERVICE), RecordType::SRV)]);
    assert_eq!(message.queries[0].query_class(), DNSClass::IN);
    let edns = message.edns.as_ref().expect("EDNS is the default");
    assert_eq!((edns.version(), edns.max_payload()), (0, 1232));
    assert_eq!(asked.bytes.len(), 12 + SERVICE.len() + 1 + 4 + 11, "and nothing else");
}

#[test]
fn t2_ids_are_spread_and_never_shared_by_open_questions() {
    // The world itself refuses ids that are open twice (I14) and reused numbers.
    let mut world = World::new(&[ONE], Config { max_inflight_per_server: 100, ..plain() }, 3);
    world.serve(ONE, Zone::of(499).server());
    while world.asked.len() < 10_000 {
        world.run_for(secs(61));
    }
    let mut buckets = [0_f64; 64];
    for asked in &world.asked {
        buckets[usize::from(asked.message.metadata.id >> 10)] += 1.0;
    }
    let expected = world.asked.len() as f64 / 64.0;
    let chi: f64 = buckets.iter().map(|seen| (seen - expected).powi(2) / expected).sum();
    assert!((30.0..120.0).contains(&chi), "63 degrees of freedom: {chi}");
    let distinct: BTreeSet<u16> = world.asked.iter().map(|asked| asked.message.metadata.id).collect();
    assert!(distinct.len() > 8_000, "{} distinct ids", distinct.len());
}

/// An honest answer, one field of which was changed.
type Forgery = fn(&Asked, &mut hickory_proto::op::Message);

#[test]
fn t3_a_reply_that_differs_in_any_field_is_ignored_and_the_right_one_still_counts() {
    let forgeries: [(Mismatch, Forgery); 7] = [
        (Mismatch::Id, |_, message| message.metadata.id ^= 1),
        (Mismatch::NotResponse, |_, message| message.metadata.message_type = MessageType::Query),
        (Mismatch::Opcode, |_, message| message.metadata.op_code = OpCode::Notify),
        (Mismatch::NoQuestion, |_, message| message.queries.clear()),
        (Mismatch::OtherQuestion, |_, message| {
            message.queries[0].set_name(name("_other._tcp.test.com."));
        }),
        (Mismatch::OtherQuestion, |_, message| {
            message.queries[0].set_query_type(RecordType::TXT);
        }),
        (Mismatch::OtherQuestion, |_, message| {
            message.queries[0].set_query_class(DNSClass::CH);
        }),
    ];
    for (index, (why, forge)) in forgeries.into_iter().enumerate() {
        let zone = Zone::of(1);
        let mut world = World::new(&[ONE], plain(), 1);
        world.serve(ONE, move |asked| {
            let honest = zone.answer(asked);
            let mut forged = honest.clone();
            forge(asked, &mut forged);
            let forged = asked.bytes(ms(1), forged.to_vec().expect("encodes"));
            vec![forged, asked.bytes(ms(2), honest.to_vec().expect("encodes"))]
        });
        world.run_for(ms(10));
        assert_eq!(world.addresses(), Zone::backends([1]), "forgery {index}");
        assert_eq!(world.count(|note| matches!(note, Note::Ignored { why: noted, .. } if *noted == why)), 2);
        assert_eq!(world.asked.len(), 2, "the attempt stayed open: forgery {index}");
    }
}

#[test]
fn t4_a_reply_to_a_closed_attempt_changes_nothing() {
    let mut world = world_of(Zone::of(1));
    world.run_for(secs(1));
    let before = world.resolver.clone();
    let late = world.asked[0].clone();
    let answer = Zone::of(5).answer(&late).to_vec().expect("encodes");
    // The machine's clock moves, nothing else.
    world.handle(Event::Tick);
    world.handle(Event::Datagram(late.query, answer));
    assert_eq!(world.resolver.set(), before.set());
    assert_eq!(world.latest.len(), 1, "one note and nothing else: {:?}", world.latest);
    assert_eq!(world.resolver.next_round(), before.next_round());
}

#[test]
fn t5_a_lost_datagram_is_repeated_after_one_and_three_seconds() {
    let mut world = World::new(&[ONE], plain(), 1);
    world.run_for(secs(20));
    let at: Vec<u64> = world.asked.iter().take(3).map(|asked| asked.at.as_nanos() / 1_000_000).collect();
    assert_eq!(at, [0, 1000, 3000]);

    let mut world = first_otherwise(Zone::of(1), |_| Vec::new());
    world.run_for(ms(1000) + RTT);
    assert_eq!(world.count(|note| matches!(note, Note::Answered { .. })), 1, "answered at 1 s + rtt");
}

#[test]
fn t5_b2_the_answer_to_the_first_attempt_counts_after_the_second_was_sent() {
    let zone = Zone::of(1);
    let answer = zone.clone();
    let mut world = first_otherwise(zone, move |asked| {
        let message = answer.answer(asked).to_vec().expect("encodes");
        vec![asked.bytes(ms(1000) + RTT / 2, message)]
    });
    world.run_for(ms(1000) + RTT / 2);
    assert_eq!(world.asked.iter().filter(|asked| asked.question().1 == RecordType::SRV).count(), 2);
    assert_eq!(world.count(|note| matches!(note, Note::Answered { query: QueryId(0), .. })), 1);
    assert_eq!(world.open(), 1, "the other attempt is closed, the address question open");
}

#[test]
fn t6_a_silent_server_gets_exactly_three_datagrams_and_fails_within_the_timeout() {
    let mut world = World::new(&[ONE], plain(), 1);
    world.run_for(secs(7));
    assert_eq!(world.opened, 3);
    assert_eq!(world.open(), 0);
    let failed =
        world.notes.iter().find(|(_, note)| matches!(note, Note::ServerFailed { why: Failure::Timeout, .. }));
    assert_eq!(failed.expect("it failed").0.as_nanos(), secs(7).as_nanos() as u64);

    // A shorter timeout squeezes the schedule.
    let mut world = World::new(&[ONE], Config { query_timeout: ms(70), ..plain() }, 1);
    world.run_for(ms(70));
    assert_eq!((world.opened, world.open()), (3, 0));
}

#[test]
fn t7_b7_a_closed_port_fails_after_three_datagrams_without_a_hot_loop() {
    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, |asked| vec![asked.fails(ms(1) / 10, SocketFailure::Refused)]);
    world.run_for(ms(2999));
    assert_eq!(world.opened, 2, "an error does not hurry the next attempt");
    world.run_for(ms(2));
    assert_eq!((world.opened, world.open()), (3, 0));
    let why = |note: &Note| matches!(note, Note::ServerFailed { why: Failure::Unreachable, .. });
    assert_eq!(world.count(why), 1, "the last attempt's failure ends it, not its time-out");
}

#[test]
fn t8_a_truncated_answer_is_asked_again_over_tcp() {
    let mut world = world_of(Zone::of(100));
    world.run_for(secs(1));
    assert_eq!(world.resolver.set().len(), 100);
    let (datagram, stream) = (&world.asked[0], &world.asked[1]);
    assert!(!datagram.on_stream && stream.on_stream);
    assert_eq!(datagram.question(), stream.question());
    assert_ne!(datagram.message.metadata.id, stream.message.metadata.id, "a new id");
    assert_eq!(world.count(|note| matches!(note, Note::Answered { answer: Answer::Truncated, .. })), 1);
}

#[test]
fn t8_t11_b8_a_truncated_answer_contributes_nothing_though_it_parses_and_tcp_is_refused() {
    let mut world = World::new(&[ONE], plain(), 1);
    let zone = Zone::of(3).sending_along(9);
    world.serve(ONE, move |asked| {
        let mut message = zone.answer(asked);
        message.metadata.truncation = true;
        asked.reply(&message)
    });
    for connects in [Connects::Refuses, Connects::Hangs] {
        world.connects(ONE, connects);
        world.run_for(secs(30));
        assert!(world.resolver.set().is_empty());
    }
    let whys = |wanted| move |note: &Note| matches!(note, Note::ServerFailed { why, .. } if *why == wanted);
    assert!(world.count(whys(Failure::Stream)) > 0, "B8: refused");
    assert!(world.count(whys(Failure::Timeout)) > 0, "B9: hangs until the lookup's deadline");
    assert!(world.asked.iter().all(|asked| asked.question().1 == RecordType::SRV), "no address was asked");
}

#[test]
fn t9_a_stream_gets_the_length_and_the_message_in_one_write() {
    // The world asserts that each write is a whole frame.
    let mut world = World::new(&[ONE], Config { transport: Transport::TcpOnly, ..plain() }, 1);
    world.serve(ONE, Zone::of(2).server());
    world.run_for(secs(1));
    assert_eq!(world.addresses(), Zone::backends([1, 2]));
    assert!(world.asked.len() == 3 && world.asked.iter().all(|asked| asked.on_stream));
}

/// A resolver that asks by stream, and a server that sends these bytes on it, one piece per millisecond.
fn streamed(pieces: impl Fn(&Asked, Vec<u8>) -> Vec<Vec<u8>> + 'static) -> World {
    let mut world = World::new(&[ONE], Config { transport: Transport::TcpOnly, ..plain() }, 1);
    let zone = Zone::of(1);
    world.serve(ONE, move |asked| {
        let honest = framed(&zone.answer(asked).to_vec().expect("encodes"));
        let pieces = pieces(asked, honest).into_iter().enumerate();
        pieces.map(|(index, piece)| asked.raw(ms(index as u64 + 1), piece)).collect()
    });
    world
}

#[test]
fn t10_b13_every_fragmentation_of_a_frame_is_read() {
    let mut world = streamed(|_, honest| honest.iter().map(|byte| vec![*byte]).collect());
    world.run_for(secs(1));
    assert_eq!(world.addresses(), Zone::backends([1]), "byte by byte");
    for split in 0..80 {
        let mut world = streamed(move |_, honest| {
            let (head, tail) = honest.split_at(split.min(honest.len()));
            vec![head.to_vec(), tail.to_vec()]
        });
        world.run_for(secs(1));
        assert_eq!(world.addresses(), Zone::backends([1]), "split at {split}");
    }
}

#[test]
fn t10_b14_b15_frames_that_answer_something_else_are_skipped() {
    let foreign = |honest: &[u8]| {
        let mut foreign = honest.to_vec();
        foreign[2] ^= 0xff;
        foreign
    };
    let mut apart = streamed(move |_, honest| vec![foreign(&honest), honest]);
    apart.run_for(secs(1));
    assert_eq!(apart.addresses(), Zone::backends([1]), "B14");
    let mut together = streamed(move |_, honest| vec![[foreign(&honest), honest.clone(), honest].concat()]);
    together.run_for(secs(1));
    assert_eq!(together.addresses(), Zone::backends([1]), "B15: what follows ours is ignored");
    let mut flood = streamed(move |_, honest| vec![foreign(&honest).repeat(200)]);
    flood.run_for(secs(1));
    assert_eq!(flood.count(|note| matches!(note, Note::Ignored { .. })), 16, "a stream is for one question");
    assert_eq!(flood.open(), 0);
}

#[test]
fn t10_b11_a_frame_shorter_than_a_header_fails() {
    for length in 0..12_u8 {
        let mut world = streamed(move |_, _| vec![vec![0, length]]);
        world.run_for(ms(50));
        let why = |note: &Note| matches!(note, Note::ServerFailed { why: Failure::Malformed, .. });
        assert_eq!((world.count(why), world.open()), (1, 0), "length {length}");
    }
}

#[test]
fn t11_b12_b17_a_stream_that_ends_early_fails() {
    for is_reset in [false, true] {
        let mut world = World::new(&[ONE], Config { transport: Transport::TcpOnly, ..plain() }, 1);
        world.serve(ONE, move |asked| {
            let end = if is_reset { asked.fails(ms(3), SocketFailure::Reset) } else { asked.closes(ms(3)) };
            vec![asked.raw(ms(1), vec![0xff, 0xff]), asked.raw(ms(2), vec![0; 100]), end]
        });
        world.run_for(ms(10));
        assert_eq!(world.count(|note| matches!(note, Note::ServerFailed { why: Failure::Stream, .. })), 1);
        assert_eq!(world.open(), 0);
    }
}

#[test]
fn t12_b10_a_byte_per_second_fails_at_the_deadline() {
    let mut world = World::new(&[ONE], Config { transport: Transport::TcpOnly, ..plain() }, 1);
    let zone = Zone::of(1);
    world.serve(ONE, move |asked| {
        let honest = framed(&zone.answer(asked).to_vec().expect("encodes"));
        honest.iter().zip(1..).map(|(byte, second)| asked.raw(secs(second), vec![*byte])).collect()
    });
    world.run_for(ms(9_999));
    assert_eq!(world.open(), 1);
    world.run_for(ms(1));
    assert_eq!(world.open(), 0);
    assert_eq!(world.count(|note| matches!(note, Note::ServerFailed { why: Failure::Timeout, .. })), 1);
}

#[test]
fn t13_b16_a_truncated_answer_on_a_stream_is_malformed() {
    let mut world = streamed(|_, mut honest| {
        honest[4] |= 0x02;
        vec![honest]
    });
    world.run_for(ms(50));
    assert_eq!(world.count(|note| matches!(note, Note::ServerFailed { why: Failure::Malformed, .. })), 1);
}

/// A server that says this to whoever uses EDNS.
fn without_edns(zone: Zone, refusal: impl Fn(&Asked) -> Vec<Reply> + 'static) -> World {
    let mut world = World::new(&[ONE], plain(), 1);
    let mut honest = zone.server();
    world.serve(ONE, move |asked| if asked.message.edns.is_some() { refusal(asked) } else { honest(asked) });
    world
}

/// Twelve bytes: id and an error code, and that is all.
fn bare(asked: &Asked, code: u8) -> Vec<u8> {
    let id = asked.message.metadata.id.to_be_bytes();
    vec![id[0], id[1], 0x80, code, 0, 0, 0, 0, 0, 0, 0, 0]
}

#[test]
fn t14_a_server_that_does_not_know_edns_is_asked_without_for_an_hour() {
    for code in [1, 4] {
        let mut world = without_edns(Zone::of(1), move |asked| vec![asked.bytes(RTT, bare(asked, code))]);
        world.run_for(secs(10));
        assert_eq!(world.addresses(), Zone::backends([1]), "rcode {code}");
        let with_edns =
            |world: &World| world.asked.iter().filter(|asked| asked.message.edns.is_some()).count();
        assert_eq!((with_edns(&world), world.asked.len()), (1, 3), "repeated once, then remembered");
        assert_eq!(world.open(), 0, "the refused attempt's socket is closed too");
        world.run_for(secs(3_580));
        assert_eq!(with_edns(&world), 1);
        world.run_for(secs(80));
        assert_eq!(with_edns(&world), 2, "tried again after an hour");
        assert_eq!(world.count(|note| matches!(note, Note::EdnsRefused { .. })), 2);
    }
}

#[test]
fn t14_an_error_that_persists_without_edns_fails() {
    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, |asked| vec![asked.bytes(RTT, bare(asked, 1))]);
    world.run_for(ms(100));
    assert_eq!(world.opened, 2);
    assert_eq!(world.count(|note| matches!(note, Note::ServerFailed { why: Failure::Rcode(1), .. })), 1);
}

#[test]
fn t15_badvers_is_answered_by_asking_without_edns() {
    let mut world = without_edns(Zone::of(1), |asked| asked.reply(&asked.error(ResponseCode::BADVERS)));
    world.run_for(secs(1));
    assert_eq!(world.addresses(), Zone::backends([1]));
    assert_eq!(world.asked.len(), 3);
}

#[test]
fn t16_the_third_attempt_goes_without_edns() {
    let mut world = without_edns(Zone::of(1), |_| Vec::new());
    world.run_for(secs(7));
    let edns: Vec<bool> = world.asked.iter().map(|asked| asked.message.edns.is_some()).collect();
    assert_eq!(edns, [true, true, false, true, true, false]);
    assert_eq!(world.addresses(), Zone::backends([1]));
}

#[test]
fn t17_t18_an_answer_may_be_larger_than_advertised_and_lack_edns() {
    let zone = Zone::of(40);
    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, move |asked| {
        let mut message = zone.answer(asked);
        message.edns = None;
        asked.reply(&message)
    });
    world.run_for(secs(1));
    assert_eq!(world.resolver.set().len(), 40);
    assert!(world.asked.iter().all(|asked| !asked.on_stream));
}

#[test]
fn t19_an_error_without_a_question_is_that_error() {
    for (code, why) in [(2, Failure::Rcode(2)), (5, Failure::Refused)] {
        let mut world = World::new(&[ONE], plain(), 1);
        world.serve(ONE, move |asked| vec![asked.bytes(RTT, bare(asked, code))]);
        world.run_for(ms(100));
        assert_eq!(
            world.count(|note| matches!(note, Note::ServerFailed { why: noted, .. } if *noted == why)),
            1
        );
    }
    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, |asked| vec![asked.bytes(RTT, bare(asked, 3))]);
    world.run_for(ms(100));
    assert_eq!(
        world.count(|note| matches!(note, Note::Ignored { why: Mismatch::NoQuestion, .. })),
        1,
        "NXDOMAIN"
    );
}

/// A resolver whose datagrams are answered wrongly so often before the right answer comes.
fn flooded(wrong: usize) -> World {
    let zone = Zone::of(2);
    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, move |asked| {
        let honest = zone.answer(asked).to_vec().expect("encodes");
        let mut forged = honest.clone();
        forged[0] ^= 0x80;
        let wrong = if asked.on_stream { 0 } else { wrong };
        let flood = (0..wrong).map(|_| asked.bytes(ms(1), forged.clone()));
        flood.chain([asked.bytes(ms(2), honest)]).collect()
    });
    world.run_for(ms(100));
    world
}

#[test]
fn b5_after_a_hundred_wrong_answers_the_question_goes_by_stream() {
    for (wrong, streams) in [(99, 0), (100, 3), (10_000, 3)] {
        let world = flooded(wrong);
        assert_eq!(world.addresses(), Zone::backends([1, 2]), "B5: {wrong} wrong ones hide the right one");
        assert_eq!(world.asked.iter().filter(|asked| asked.on_stream).count(), streams);
        assert_eq!(world.asked.len(), 3 + streams);
        let ignored = world.count(|note| matches!(note, Note::Ignored { .. }));
        assert_eq!(ignored, 3 * wrong.min(100), "what comes to a socket that is closed counts no more");
        assert_eq!(world.count(|note| matches!(note, Note::Flooded { server: ONE, .. })), streams);
    }
}

#[test]
fn b4_b6_answers_that_come_twice_or_to_each_others_questions_change_nothing() {
    let zone = Zone::of(2);
    let mut world = World::new(&[ONE], plain(), 1);
    let mut last: Option<Vec<u8>> = None;
    world.serve(ONE, move |asked| {
        let honest = zone.answer(asked).to_vec().expect("encodes");
        let swapped = last.replace(honest.clone()).into_iter().map(|other| asked.bytes(ms(1), other));
        let twice = [asked.bytes(ms(2), honest.clone()), asked.bytes(ms(2), honest)];
        swapped.chain(twice).collect()
    });
    world.run_for(ms(100));
    assert_eq!(world.addresses(), Zone::backends([1, 2]));
    assert_eq!(world.count(|note| matches!(note, Note::Ignored { why: Mismatch::Id, .. })), 2, "B6");
}

#[test]
fn b29_b30_a_missing_socket_is_a_failure_and_a_server_named_twice_is_one() {
    let mut world = World::new(&[ONE, ONE, server(9)], plain(), 1);
    world.serve(ONE, |asked| vec![asked.fails(RTT, SocketFailure::NoSocket)]);
    world.serve(server(9), Zone::of(1).server());
    world.run_for(secs(4));
    assert_eq!(world.resolver.servers().count(), 2);
    assert_eq!(world.asked.iter().filter(|asked| asked.server == ONE).count(), 3);
    assert_eq!(world.addresses(), Zone::backends([1]));
}

#[test]
fn t3_the_question_may_come_back_in_other_letters() {
    let mut world = World::new(&[ONE], plain(), 1);
    world.serve(ONE, |asked| {
        let mut message = asked.answer();
        message.queries[0].set_name(name("_Echo._TCP.TeST.com."));
        if asked.question().1 == RecordType::SRV {
            message.add_answer(record("_ECHO._tcp.test.COM.", 60, srv(0, 0, 1, "A.test.com.")));
        }
        asked.reply(&message)
    });
    world.run_for(ms(5));
    assert_eq!(world.asked[1].question().0, "a.test.com.");
}

#[test]
fn a_socket_that_fails_in_the_instant_its_timer_fires_is_not_forgotten_as_well() {
    let mut world = World::new(&[ONE], plain(), 1);
    // The third attempt's timer ends the question at 7 s; its socket fails a moment before it is handled.
    world.serve(ONE, |asked| {
        if asked.at.as_nanos() == 3_000_000_000 {
            vec![asked.fails(secs(4), SocketFailure::Other)]
        } else {
            Vec::new()
        }
    });
    world.run_for(secs(7));
    assert_eq!(world.open(), 0, "the world asserts that each was closed once");
    assert_eq!(world.count(|note| matches!(note, Note::ServerFailed { .. })), 1);
}

#[test]
fn what_comes_from_a_stream_that_a_timer_just_closed_does_not_reach_the_next_of_its_number() {
    for event in [Event::StreamOpened, Event::StreamClosed] {
        let config = Config { transport: Transport::TcpOnly, max_dns_concurrency: 1, ..plain() };
        let mut world = World::new(&[ONE, server(2)], config, 1);
        world.run_for(ms(9_999));
        assert_eq!(world.queries(), [QueryId(0)]);
        // The first server's deadline frees the number, and the second server's stream takes it at once.
        world.now = world.now.after(ms(1));
        world.handle(event(QueryId(0)));
        assert_eq!(
            (world.opened, world.queries()),
            (2, vec![QueryId(0)]),
            "the second stream is being opened"
        );
        assert!(!world.latest.iter().any(|action| matches!(action, Action::Send(..))));
        assert_eq!(world.count(|note| matches!(note, Note::Ignored { why: Mismatch::Closed, .. })), 1);
    }
}
