//! What is found.

use qorb_driver::DnsResolverConfig;
use qorb_examples::Platform;

use crate::program::{Mood, Program};
use crate::search::Search;
use crate::zone::MANY;
use crate::{row, run, with_servers};

with_servers! {
    every_service_is_found_as_it_is: hickory, knot, bind;
}

const E1: &str = "echo001.test.com.@127.0.1.1:6001";
const E2: &str = "echo002.test.com.@127.0.1.2:6002";
const E3: &str = "echo003.test.com.@127.0.1.3:6003";

/// A case, the name asked for, what is found, and how the server answered.
type Row<'a> = (&'a str, &'a str, &'a [&'a str], &'a str);

const CASES: [Row<'_>; 14] = [
    ("three targets", "_three._tcp", &[E1, E2, E3], "backends"),
    ("an alias of them", "_alias._tcp", &[E1, E2, E3], "backends"),
    ("decidedly not offered", "_none._tcp", &[], "not offered"),
    ("no such name", "_nobody._tcp", &[], "no backends"),
    ("a target without an address", "_lost._tcp", &[], "no backends"),
    ("one of two targets without an address", "_one-lost._tcp", &[E1], "backends"),
    ("a target that is an alias", "_cname._tcp", &["other.test.com.@127.0.1.1:6001"], "backends"),
    ("AAAA alone", "_v6._tcp", &["six.test.com.@[::1]:6001"], "backends"),
    ("A alone", "_v4._tcp", &["four.test.com.@127.0.1.4:6001"], "backends"),
    (
        "two priorities",
        "_tiers._tcp",
        &["echo001.test.com.@127.0.1.1:6001 10 5", "echo002.test.com.@127.0.1.2:6002 20 7"],
        "backends",
    ),
    ("two ports of one target", "_ports._tcp", &[E1, "echo001.test.com.@127.0.1.1:6002"], "backends"),
    (
        "three addresses of one target",
        "_addresses._tcp",
        &["multi.test.com.@127.0.1.7:6001", "multi.test.com.@127.0.1.8:6001", "multi.test.com.@[::1]:6001"],
        "backends",
    ),
    ("a name of a delegated zone", "_echo._tcp.delegated", &[], "failed: lame"),
    ("a hundred targets, cut and fetched by stream", "_many._tcp", &[], "backends"),
];

fn every_service_is_found_as_it_is<P: Platform>(program: Program) {
    let server = program.start(Mood::Fair);
    run::<P, _>(async {
        for (case, name, expected, outcome) in CASES {
            let mut search = Search::<P>::new(&[server.address()], name, DnsResolverConfig::default());
            let took = search.first_round().await;
            let many: Vec<String> =
                (1..=MANY).map(|number| format!("t{number:03}.test.com.@127.0.3.{number}:6001")).collect();
            let expected = if name == "_many._tcp" {
                many.iter().map(String::as_str).collect()
            } else {
                expected.to_vec()
            };
            row::<P>(server.name(), case, &format!("{}, {}", search.outcome(), search.set().len()), took);
            assert_eq!(search.set(), expected, "{case}");
            // hickory-dns knows no delegation: to it there is no such name.
            let unaware = program == Program::Hickory && outcome == "failed: lame";
            let outcome = if unaware { "no backends" } else { outcome };
            assert_eq!(search.outcome(), outcome, "{case}");
        }
    });
}
