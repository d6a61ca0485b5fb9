//! H1 to H61, the hostile answers of `DNS.md` §5.1: one message each, in place of the first answer to the service's
//! question, and what becomes of it.

use std::net::IpAddr;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use qorb_core::dns::{Answer, Config, Failure, Kind, Mismatch, Note, QueryId};
use qorb_tests::dns_world::{
    Asked, RTT, SERVICE, World, Zone, alias, host, name, name_server, record, soa, srv,
};

use super::{ONE, ms, plain};

/// What is made of one message.
#[derive(Clone, Debug)]
enum Outcome {
    /// Passed over: the honest answer that follows is accepted.
    Ignored(Mismatch),
    /// The server failed for this round.
    Fails(Failure),
    /// Asked again without EDNS, which works.
    Plain,
    /// Asked again over TCP, which works.
    Stream,
    /// The service is not offered.
    NotOffered,
    /// Negative, to be remembered for so many seconds.
    Negative(Option<u64>),
    /// Aliased: the next question is for this name.
    AsksFor(&'static str),
    /// Accepted with this time to live; then the set is this.
    Accepted(u64, Vec<String>),
}

use Outcome::{Accepted, AsksFor, Fails, Ignored, Negative, NotOffered, Plain};

const ECHO1: &str = "echo001.test.com.";
const MALFORMED: Outcome = Fails(Failure::Malformed);

fn one() -> Vec<String> {
    Zone::backends([1])
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a test's message encodes")
}

/// A header that claims these counts, and these bytes after it.
fn packet(asked: &Asked, flags: [u8; 2], counts: [u16; 4], body: &[u8]) -> Vec<u8> {
    let id = asked.message.metadata.id.to_be_bytes();
    let counts = counts.iter().flat_map(|count| count.to_be_bytes());
    id.into_iter().chain(flags).chain(counts).chain(body.iter().copied()).collect()
}

/// The question as it was sent.
fn question(asked: &Asked) -> &[u8] {
    &asked.bytes[12..12 + SERVICE.len() + 1 + 4]
}

/// An answer with one raw record owned by the question's name.
fn raw_record(asked: &Asked, kind: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let fixed = [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1], &ttl.to_be_bytes()].concat();
    let length = (rdata.len() as u16).to_be_bytes();
    packet(asked, [0x84, 0], [1, 1, 0, 0], &[question(asked), &fixed, &length, rdata].concat())
}

/// The honest answer: one service.
fn honest(asked: &Asked) -> Message {
    Zone::of(1).answer(asked)
}

fn with(asked: &Asked, records: impl IntoIterator<Item = Record>) -> Vec<u8> {
    let mut message = asked.answer();
    message.add_answers(records);
    bytes(&message)
}

fn changed(asked: &Asked, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = honest(asked);
    change(&mut message);
    bytes(&message)
}

fn service(ttl: u32, port: u16, target: &str) -> Record {
    record(SERVICE, ttl, srv(0, 0, port, target))
}

fn bare(asked: &Asked, rcode: u8) -> Vec<u8> {
    packet(asked, [0x80, rcode], [0; 4], &[])
}

type Case = (&'static str, Outcome, fn(&Asked) -> Vec<u8>);

/// 1 to 24: what is no answer to this question, and errors.
fn envelopes() -> Vec<Case> {
    vec![
        ("H1", Ignored(Mismatch::TooShort), |_| Vec::new()),
        ("H2", Ignored(Mismatch::TooShort), |asked| bytes(&honest(asked))[..11].to_vec()),
        ("H3", Ignored(Mismatch::Id), |asked| changed(asked, |message| message.metadata.id ^= 0x100)),
        ("H4", Ignored(Mismatch::NotResponse), |asked| asked.bytes.clone()),
        ("H5", Ignored(Mismatch::Opcode), |asked| {
            changed(asked, |message| message.metadata.op_code = OpCode::Notify)
        }),
        ("H6", Ignored(Mismatch::OtherQuestion), |asked| {
            changed(asked, |message| {
                message.queries[0].set_name(name("_x.test.com."));
            })
        }),
        ("H7", Ignored(Mismatch::OtherQuestion), |asked| {
            changed(asked, |message| {
                message.queries[0].set_query_type(RecordType::A);
            })
        }),
        ("H8", Ignored(Mismatch::OtherQuestion), |asked| {
            changed(asked, |message| {
                message.queries[0].set_query_class(DNSClass::CH);
            })
        }),
        ("H9", Accepted(60, one()), |asked| {
            changed(asked, |message| {
                message.queries[0].set_name(name("_ECHO._tcp.TEST.com."));
            })
        }),
        ("H10", Ignored(Mismatch::NoQuestion), |asked| changed(asked, |message| message.queries.clear())),
        ("H11", Ignored(Mismatch::NoQuestion), |asked| {
            changed(asked, |message| message.queries.push(message.queries[0].clone()))
        }),
        ("H12", Ignored(Mismatch::NoQuestion), |asked| packet(asked, [0x80, 0], [0xffff, 0, 0, 0], &[])),
        ("H13", Plain, |asked| bare(asked, 1)),
        ("H14", Plain, |asked| bare(asked, 4)),
        ("H15", Fails(Failure::Rcode(2)), |asked| bytes(&asked.error(ResponseCode::ServFail))),
        ("H16", Fails(Failure::Refused), |asked| bytes(&asked.error(ResponseCode::Refused))),
        ("H17", Plain, |asked| bytes(&asked.error(ResponseCode::BADVERS))),
        ("H18", Outcome::Stream, |asked| {
            let mut cut = changed(asked, |message| message.metadata.truncation = true);
            cut.truncate(cut.len() - 15);
            cut
        }),
        ("H19", Outcome::Stream, |asked| changed(asked, |message| message.metadata.truncation = true)),
        ("H20", MALFORMED, |asked| {
            let whole = changed(asked, |message| message.edns = None);
            whole[..whole.len() - 3].to_vec()
        }),
        ("H21", MALFORMED, |asked| {
            let mut more = bytes(&honest(asked));
            more[7] = 9;
            more
        }),
        ("H22", Accepted(60, vec!["[fd00::1]:1".to_owned()]), |asked| {
            let mut message = asked.answer();
            message.edns = None;
            message.add_answers([service(60, 1, ECHO1), service(60, 2, ECHO1)]);
            let mut fewer = bytes(&message);
            fewer[7] = 1;
            fewer
        }),
        ("H23", Accepted(60, one()), |asked| [bytes(&honest(asked)), vec![0xff; 40]].concat()),
        ("H24", Ignored(Mismatch::NoQuestion), |asked| {
            packet(asked, [0x80, 0], [1, 0, 0, 0], &[0xc0, 12, 0, 33, 0, 1])
        }),
    ]
}

/// 25 to 41: records that cannot be, and records that may.
fn records() -> Vec<Case> {
    vec![
        ("H25", MALFORMED, |asked| {
            let start = 12 + question(asked).len();
            let pointer = [0xc0, start as u8];
            let record = [&pointer[..], &[0, 33, 0, 1, 0, 0, 0, 60, 0, 7, 0, 0, 0, 0, 0, 1, 0]].concat();
            packet(asked, [0x84, 0], [1, 1, 0, 0], &[question(asked), &record].concat())
        }),
        ("H26", MALFORMED, |asked| raw_record(asked, 33, 60, &[0, 0, 0, 0, 0, 1, 0xc0, 0xff])),
        ("H27", MALFORMED, |asked| raw_record(asked, 33, 60, &[0, 0, 0, 0, 0, 1, 0x41, b'a', 0])),
        ("H28", MALFORMED, |asked| raw_record(asked, 33, 60, &[])),
        ("H29", MALFORMED, |asked| raw_record(asked, 33, 60, &[0, 0, 0, 0, 0, 1])),
        ("H30", MALFORMED, |asked| raw_record(asked, 33, 60, &[0, 0, 0, 0, 0, 1, 1, b'a', 0, 0])),
        ("H31", MALFORMED, |asked| {
            let mut whole = changed(asked, |message| message.edns = None);
            let additional = [&[0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 15][..], &[1; 15]].concat();
            whole[11] = 1;
            [whole, additional].concat()
        }),
        ("H32", MALFORMED, |asked| {
            let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
            let mut whole = bytes(&honest(asked));
            whole[11] = 2;
            [whole, opt.to_vec()].concat()
        }),
        ("H33", MALFORMED, |asked| {
            let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
            packet(asked, [0x84, 0], [1, 1, 0, 0], &[question(asked), &opt].concat())
        }),
        ("H34", NotOffered, |asked| with(asked, [service(60, 0, ".")])),
        ("H35", Accepted(60, one()), |asked| with(asked, [service(60, 0, "."), service(60, 8001, ECHO1)])),
        ("H36", MALFORMED, |asked| with(asked, [service(60, 0, ECHO1)])),
        ("H37", Accepted(60, one()), |asked| with(asked, vec![service(60, 8001, ECHO1); 3])),
        ("H38", Accepted(60, vec!["[fd00::1]:1".to_owned(), "[fd00::1]:2".to_owned()]), |asked| {
            with(asked, [service(60, 1, ECHO1), service(60, 2, ECHO1)])
        }),
        ("H39", Accepted(0, one()), |asked| with(asked, [service(0, 8001, ECHO1)])),
        ("H40", Accepted(604_800, one()), |asked| with(asked, [service(u32::MAX, 8001, ECHO1)])),
        ("H41", Accepted(5, Zone::backends([1, 2])), |asked| {
            with(asked, [service(600, 8001, ECHO1), service(5, 8002, "echo002.test.com.")])
        }),
    ]
}

/// 42 to 61: absence, aliases, strangers, and sheer size.
fn meanings() -> Vec<Case> {
    vec![
        ("H42", Negative(None), |asked| with(asked, [])),
        ("H43", Negative(Some(5)), |asked| {
            let mut message = asked.answer();
            message.add_authority(record("test.com.", 60, soa(5)));
            bytes(&message)
        }),
        ("H44", Negative(None), |asked| {
            let mut message = asked.error(ResponseCode::NXDomain);
            message.add_authority(record("example.org.", 99_999_999, soa(99_999_999)));
            bytes(&message)
        }),
        ("H45", MALFORMED, |asked| {
            changed(asked, |message| message.metadata.response_code = ResponseCode::NXDomain)
        }),
        ("H46", MALFORMED, |asked| with(asked, [record("_other._tcp.test.com.", 60, srv(0, 0, 1, ECHO1))])),
        ("H47", MALFORMED, |asked| with(asked, [record(SERVICE, 60, host(IpAddr::from([1, 2, 3, 4])))])),
        ("H48", MALFORMED, |asked| {
            let mut chaos = service(60, 1, ECHO1);
            chaos.dns_class = DNSClass::CH;
            with(asked, [chaos])
        }),
        ("H49", Accepted(7, one()), |asked| {
            let target = record("real.test.com.", 60, srv(0, 0, 8001, ECHO1));
            with(asked, [target, record(SERVICE, 7, alias("real.test.com."))])
        }),
        ("H50", MALFORMED, |asked| with(asked, [record(SERVICE, 60, alias(SERVICE))])),
        ("H51", MALFORMED, |asked| {
            with(
                asked,
                [record(SERVICE, 60, alias("b.test.com.")), record("b.test.com.", 60, alias(SERVICE))],
            )
        }),
        ("H52", MALFORMED, |asked| {
            let link = |step: u32| if step == 0 { SERVICE.to_owned() } else { format!("c{step}.test.com.") };
            let chain = (0..20).map(|step| record(&link(step), 60, alias(&link(step + 1))));
            with(asked, chain.chain([record(&link(20), 60, srv(0, 0, 1, ECHO1))]))
        }),
        ("H53", AsksFor("away.test.com."), |asked| {
            with(asked, [record(SERVICE, 60, alias("away.test.com."))])
        }),
        ("H54", Accepted(60, one()), |asked| {
            changed(asked, |message| {
                message.add_additional(record(
                    "evil.test.com.",
                    60,
                    host("fd66::6".parse().expect("an address")),
                ));
            })
        }),
        ("H55", Accepted(60, one()), |asked| {
            changed(asked, |message| {
                message.add_additional(record(ECHO1, 60, host("::".parse().expect("an address"))));
                message.add_additional(record(ECHO1, 60, host("ff02::1".parse().expect("an address"))));
            })
        }),
        ("H56", Accepted(60, vec!["[fd00::56]:8001".to_owned()]), |asked| {
            let mut message = asked.answer();
            message.add_answer(service(60, 8001, "ECHO001.Test.com."));
            message.add_additional(record(ECHO1, 60, host("fd00::56".parse().expect("an address"))));
            bytes(&message)
        }),
        ("H57", Accepted(60, vec!["[fd00::57]:1".to_owned()]), |asked| {
            let labels: [&[u8]; 2] = [b"\x00\xff. ", b"com"];
            let odd = Name::from_labels(labels).expect("any bytes make a label");
            let mut message = asked.answer();
            let data = hickory_proto::rr::rdata::SRV::new(0, 0, 1, odd);
            message.add_answer(record(SERVICE, 60, RData::SRV(data)));
            bytes(&message)
        }),
        ("H58", Fails(Failure::Lame), |asked| {
            let mut message = asked.answer();
            message.metadata.authoritative = false;
            message.add_authority(record("test.com.", 60, name_server("ns.test.com.")));
            bytes(&message)
        }),
        ("H59", Accepted(60, vec!["[fd00::59]:1".to_owned()]), |asked| {
            let record = |port: u16| {
                let [high, low] = port.to_be_bytes();
                [0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 9, 0, 0, 0, 0, high, low, 1, b'a', 0]
            };
            let records: Vec<u8> = (1..=2_976).flat_map(record).collect();
            packet(asked, [0x84, 0], [1, 2_976, 0, 0], &[question(asked), &records].concat())
        }),
        ("H60", MALFORMED, |asked| {
            let record = [0, 0xff, 0x01, 0, 1, 0, 0, 0, 60, 0, 0];
            packet(asked, [0x84, 0], [1, 4097, 0, 0], &[question(asked), &record.repeat(4097)].concat())
        }),
        ("H61", MALFORMED, pointer_chain),
    ]
}

/// A name that is one pointer after the other, all the way through 16 KiB.
fn pointer_chain(asked: &Asked) -> Vec<u8> {
    let mut message = asked.answer();
    message.edns = None;
    message.add_answer(record(
        "x.test.com.",
        60,
        RData::Unknown {
            code: RecordType::Unknown(999),
            rdata: NULL::with(
                (0..8_000_u16).flat_map(|step| (0xc000 | (12 + step * 2)).to_be_bytes()).collect(),
            ),
        },
    ));
    bytes(&message)
}

/// The number in `DNS.md` §5.1.
fn number(case: &str) -> u64 {
    case.strip_prefix('H').and_then(|number| number.parse().ok()).expect("H and a number")
}

fn told(case: &str, outcome: &Outcome, tell: fn(&Asked) -> Vec<u8>) -> World {
    // 59 is about reading, not about what is done with so many.
    let config = Config { max_backends: if case == "H59" { 1 } else { 1024 }, ..plain() };
    let mut world = World::new(&[ONE], config, number(case));
    let is_ignored = matches!(outcome, Ignored(_));
    let mut is_first = true;
    world.serve(ONE, move |asked| {
        if std::mem::take(&mut is_first) {
            let hostile = asked.bytes(RTT, tell(asked));
            let right = is_ignored.then(|| asked.bytes(RTT * 2, bytes(&honest(asked))));
            return [Some(hostile), right].into_iter().flatten().collect();
        }
        let mut message =
            Zone::of(2).with("a.", 60, host(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x59]))).answer(asked);
        if asked.question().0.starts_with('\\') {
            message = asked.answer();
            message.add_answer(record(".", 60, host("fd00::57".parse().expect("an address"))));
            message.answers[0].name = message.queries[0].name().clone();
        }
        asked.reply(&message)
    });
    world.run_for(ms(50));
    world
}

fn check(case: &str, outcome: &Outcome, tell: fn(&Asked) -> Vec<u8>) {
    let world = told(case, outcome, tell);
    let mut answers = Vec::new();
    for (_, note) in &world.notes {
        if let Note::Answered { answer, question, .. } = note
            && question.kind == Kind::Srv
        {
            answers.push(*answer);
        }
    }
    let context = format!("{case}: {:?}", world.notes);
    match outcome {
        Ignored(why) => {
            assert!(
                world.count(|note| matches!(note, Note::Ignored { why: noted, .. } if noted == why)) == 1,
                "{context}"
            );
            assert_eq!(world.addresses(), one(), "{context}");
            assert_eq!(world.asked.len(), 2, "{context}");
        }
        Fails(why) => {
            assert_eq!(
                world.count(|note| matches!(note, Note::ServerFailed { why: noted, .. } if noted == why)),
                1,
                "{context}"
            );
            assert_eq!((world.asked.len(), world.open(), world.sets.len()), (1, 0, 0), "{context}");
        }
        Plain => {
            assert!(
                world.asked[0].message.edns.is_some() && world.asked[1].message.edns.is_none(),
                "{context}"
            );
            assert_eq!(
                (world.asked[1].at.as_nanos(), world.asked.len()),
                (1_000_000, 4),
                "at once: {context}"
            );
        }
        Outcome::Stream => {
            assert!(answers[0] == Answer::Truncated && world.asked[1].on_stream, "{context}");
            assert_eq!(world.addresses(), Zone::backends([1, 2]), "{context}");
        }
        NotOffered => assert_eq!(answers, [Answer::NotOffered], "{context}"),
        Negative(seconds) => {
            let ttl = seconds.map(std::time::Duration::from_secs);
            assert_eq!(answers, [Answer::Negative { ttl }], "{context}");
        }
        AsksFor(next) => {
            assert_eq!(answers[0], Answer::Alias, "{context}");
            assert_eq!(world.asked[1].question(), ((*next).to_owned(), RecordType::SRV), "{context}");
        }
        Accepted(seconds, set) => {
            let Answer::Records { ttl, .. } = answers[0] else { panic!("{context}") };
            assert_eq!((ttl.as_secs(), &world.addresses()), (*seconds, set), "{context}");
        }
    }
}

#[test]
fn sixty_one_hostile_answers_are_each_taken_for_what_they_are() {
    let cases: Vec<Case> = [envelopes(), records(), meanings()].concat();
    let numbers: Vec<u64> = cases.iter().map(|(case, ..)| number(case)).collect();
    assert_eq!(numbers, (1..=61).collect::<Vec<u64>>());
    for (case, outcome, tell) in &cases {
        check(case, outcome, *tell);
    }
}

#[test]
fn h57_the_odd_name_is_escaped_in_the_key_and_asked_for_byte_by_byte() {
    let cases = meanings();
    let (case, outcome, tell) = cases.iter().find(|(case, ..)| *case == "H57").expect("it is one");
    let world = told(case, outcome, *tell);
    assert_eq!(&*world.resolver.set()[0].name, r"\000\377\.\040.com.");
    let asked = world.asked[1].message.queries[0].name();
    assert_eq!(asked.iter().next(), Some(&b"\x00\xff. "[..]));
}

#[test]
fn a_hostile_answer_leaves_the_published_set_alone() {
    for (case, outcome, tell) in [envelopes(), records(), meanings()].concat() {
        if !matches!(outcome, Fails(_)) {
            continue;
        }
        let mut world = World::new(&[ONE], plain(), number(case));
        world.serve(ONE, Zone::of(1).server());
        world.run_for(ms(50));
        world.serve(ONE, move |asked| vec![asked.bytes(RTT, tell(asked))]);
        world.run_for(super::secs(500));
        assert_eq!((world.sets.len(), world.addresses()), (1, one()), "{case}");
        assert!(world.resolver.stale_since().is_some(), "{case}");
    }
}

#[test]
fn random_bytes_never_break_anything() {
    let mut dice = qorb_core::dice::Dice::Seeded(61);
    let mut world = World::new(&[ONE], plain(), 61);
    world.serve(ONE, Zone::of(3).server());
    for _ in 0..2_000 {
        world.run_for(ms(1));
        let Some(last) = world.asked.last().cloned() else { continue };
        let mut answer = bytes(&Zone::of(3).answer(&last));
        for _ in 0..=dice.below(6) {
            let place = dice.below(answer.len() as u64 - 2) as usize + 2;
            answer[place] = dice.draw() as u8;
        }
        let query = world.queries().first().copied().unwrap_or(QueryId(0));
        world.handle(qorb_core::dns::Event::Datagram(query, answer.clone()));
        world.handle(qorb_core::dns::Event::StreamBytes(query, answer));
        if world.queries().is_empty() {
            world.run_for(super::secs(61));
        }
    }
}
