//! What it costs to be looked at.

use std::time::{Duration, Instant};

use qorb_driver::{Policy, Pool, StatsServer};
use qorb_tests::sim::announce::Announcer;
use qorb_tests::sim::script::{Script, SimPool};
use qorb_tests::sim::{Sim, World};
use serde_json::Value;

use super::client::{in_set, open_on};
use crate::adapters::ANY;

/// How much longer than reading it a frame may take. It is no more than three times as long; then a client with a frame
/// a second takes a tenth of a percent of a core, where everything is optimised and the sockets are real.
const TIMES: u32 = 10;

#[test]
fn a_frame_of_200_backends_takes_not_much_longer_than_to_read_it() {
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
    // Everything that happens between two frames of a pool at rest happens for the client, who is paid for too.
    // All but one may meet with a processor that is somebody else's.
    let (mut spans, mut readings) = (Vec::new(), Vec::new());
    while spans.len() < 41 {
        let begin = Instant::now();
        let message = world.run_until(socket.message());
        // It is asked now and then whether it is still there.
        if message.is_binary() {
            spans.push(begin.elapsed());
            assert!(message.len() > 50_000, "it is a frame of 200 backends: {}", message.len());
            let begin = Instant::now();
            let read = serde_json::from_slice::<Value>(&message.into_data()).expect("it is JSON");
            readings.push(begin.elapsed());
            assert_eq!(in_set(&read).len(), 200);
        }
    }
    let [frame, reading] = [spans, readings].map(|spans| spans.into_iter().min().expect("there are many"));
    assert!(frame < reading * TIMES, "a frame takes {frame:?}, to read it {reading:?}");
}
