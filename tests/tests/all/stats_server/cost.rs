//! What it costs to be looked at.

use std::time::{Duration, Instant};

use qorb_driver::{Policy, Pool, StatsServer};
use qorb_tests::sim::announce::Announcer;
use qorb_tests::sim::script::{Script, SimPool};
use qorb_tests::sim::{Sim, World};

use super::client::{in_set, open_on};
use crate::adapters::ANY;

/// A hundredth of a core, at a frame a second.
const BUDGET: Duration = Duration::from_millis(10);

#[test]
fn a_client_of_a_pool_of_200_backends_takes_less_than_a_hundredth_of_a_core() {
    let world = World::new(9);
    let sets = Announcer::new();
    let script = Script::new(world.sim());
    let policy = Policy { max_slots: 400, spares_wanted: 400, ..Policy::default() };
    let pool: SimPool = Pool::new("large", sets.resolver(), script, policy).expect("it works");
    let names: Vec<_> = (0..200).map(|number| format!("backend-{number}.example.com.")).collect();
    sets.publish(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let server = world.run_until(StatsServer::<Sim>::bind(ANY)).expect("nobody else listens");
    server.add(&pool);
    world.pass(Duration::from_secs(1));

    let wire = world.sim().door(ANY).call(1 << 20);
    let mut socket = world.run_until(open_on(wire, "/qtop/stats"));
    world.run_until(socket.frame());
    // Everything that happens between two frames of a pool at rest happens for the client, who is paid for too:
    // half of all frames may meet with a processor that is somebody else's.
    let mut spans = Vec::new();
    while spans.len() < 41 {
        let begin = Instant::now();
        let message = world.run_until(socket.message());
        // It is asked now and then whether it is still there.
        if message.is_binary() {
            spans.push(begin.elapsed());
            assert!(message.len() > 50_000, "it is a frame of 200 backends: {}", message.len());
        }
    }
    spans.sort_unstable();
    assert!(spans[20] < BUDGET, "a frame takes {:?}", spans[20]);
    assert_eq!(in_set(&world.run_until(socket.frame())).len(), 200);
}
