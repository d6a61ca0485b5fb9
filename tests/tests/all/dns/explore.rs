//! Every interleaving of what a few servers can say: `DNS.md` §4.4 on every edge.

use qorb_tests::explore::Sometimes;
use qorb_tests::resolver_world::{Freedom, SOMETIMES, walk};

/// Walks a world to its end.
#[expect(clippy::print_stdout, reason = "the size of what was explored is a result")]
fn every_state_of(servers: usize, freedom: Freedom, seen: Sometimes) -> Sometimes {
    let report = walk(servers, freedom, usize::MAX, seen, |_| {});
    if let Some(violation) = report.violation {
        panic!("{violation}");
    }
    assert!(report.complete, "the world is finite");
    let far = report.progress;
    println!("{servers} servers, {freedom:?}: {far}");
    assert!(far.compared > 0, "states that look alike are compared");
    report.seen
}

/// All kinds together are `sim explore --machine resolver`; here one server has them all, and two have them in
/// pairs.
#[test]
fn whatever_two_servers_say_the_set_is_what_follows_from_it() {
    let nothing =
        Freedom { bare: false, denials: false, errors: false, cut: false, hints: false, shutdown: false };
    let seen = every_state_of(1, Freedom::ALL, Sometimes::new(SOMETIMES));
    let seen = every_state_of(2, Freedom { bare: true, cut: true, ..nothing }, seen);
    let seen = every_state_of(2, Freedom { bare: true, denials: true, ..nothing }, seen);
    let seen = every_state_of(2, Freedom { errors: true, shutdown: true, ..nothing }, seen);
    assert_eq!(seen.missing(), [""; 0], "never happened");
}
