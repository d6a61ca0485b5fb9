//! Random worlds: losses, duplicates, reordering, errors, cuts, closed ports and hostile bytes, a few hundred
//! seeds of them. What must always hold (`DNS.md` §4.4) is checked after every event, by the world and here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use qorb_core::dice::Dice;
use qorb_core::dns::{Addresses, Answer, Config, Event, Note, SocketFailure, Transport};
use qorb_core::{Machine, Timestamp};
use qorb_tests::dns_world::{Asked, Connects, Reply, World, Zone, host, identities, srv};

use super::{ms, secs, server};

/// How bad a world is: chances in a thousand, drawn for each world.
#[derive(Clone, Debug)]
struct Weather {
    loss: u64,
    twice: u64,
    late: u64,
    error: u64,
    cut: u64,
    failure: u64,
    mangled: u64,
}

impl Weather {
    fn draw(dice: &mut Dice, is_honest: bool) -> Self {
        let mut chance = || if dice.below(3) == 0 { 0 } else { dice.below(400) };
        Self {
            loss: chance(),
            twice: chance(),
            late: chance(),
            error: chance(),
            cut: chance(),
            failure: chance(),
            mangled: if is_honest { 0 } else { chance() + 50 },
        }
    }

    /// What becomes of an honest answer on such a day.
    fn spoil(&self, asked: &Asked, zone: &Zone, dice: &mut Dice) -> Vec<Reply> {
        let mut happens = |chance: u64| dice.below(1_000) < chance;
        if happens(self.loss) {
            return Vec::new();
        }
        if happens(self.failure) {
            return vec![asked.fails(ms(1), SocketFailure::Refused)];
        }
        if happens(self.error) {
            let codes = [ResponseCode::ServFail, ResponseCode::FormErr, ResponseCode::NotAuth];
            return asked.reply(&asked.error(codes[dice.below(3) as usize]));
        }
        let (is_cut, is_twice) = (happens(self.cut), happens(self.twice));
        let (is_late, is_mangled) = (happens(self.late), happens(self.mangled));
        let mut message = zone.answer(asked);
        message.metadata.truncation = is_cut;
        let after = if is_late { dice.up_to(secs(8)) } else { dice.up_to(ms(40)) };
        let mut reply = asked.reply(&message).remove(0).after(after);
        if let Some(bytes) = reply.content_mut().filter(|_| is_mangled) {
            mangle(bytes, dice);
        }
        let again = is_twice.then(|| reply.clone().after(after + dice.up_to(secs(2))));
        [Some(reply), again].into_iter().flatten().collect()
    }
}

fn mangle(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let place = dice.below(bytes.len().max(1) as u64) as usize;
        match dice.below(4) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place.min(bytes.len()), dice.draw() as u8),
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = dice.draw() as u8;
                }
            }
        }
    }
}

fn config(dice: &mut Dice) -> Config {
    let pick = |dice: &mut Dice, choices: &[usize]| choices[dice.below(choices.len() as u64) as usize];
    let families = [Addresses::Both, Addresses::V6Only, Addresses::V4Only];
    Config {
        max_dns_concurrency: pick(dice, &[1, 2, 5]),
        max_inflight_per_server: pick(dice, &[1, 3, 16]),
        query_interval: secs(pick(dice, &[5, 20, 60]) as u64),
        query_timeout: [ms(50), secs(2), secs(10)][pick(dice, &[0, 1, 2])],
        addresses: families[pick(dice, &[0, 0, 1, 2])],
        trust_additional: dice.below(4) > 0,
        transport: if dice.below(5) == 0 { Transport::TcpOnly } else { Transport::UdpThenTcp },
        edns_payload: (dice.below(5) > 0).then_some(1232),
        hardcoded_ttl: (dice.below(5) == 0).then_some(Duration::MAX),
        ..Config::default()
    }
}

/// One to six targets with both families.
fn zone(dice: &mut Dice) -> Zone {
    let targets = 1 + dice.below(6) as u16;
    let zone = (1..=targets).fold(Zone::of(targets), |zone, number| {
        zone.with(&format!("echo{number:03}.test.com."), 30, host([10, 0, 0, number as u8].into()))
    });
    zone.sending_along(dice.below(7) as usize)
}

/// The name that leads from the first server to all others.
const SERVERS: &str = "_dns._udp.test.com.";

/// A world of so many servers that all know `zone`, in this weather. In every third one only the first is given.
fn world(seed: u64, dice: &mut Dice, weather: &Weather, zone: &Zone) -> (World, Vec<SocketAddr>, Config) {
    let mut config = config(dice);
    let servers: Vec<SocketAddr> = (1..=1 + dice.below(4) as u8).map(server).collect();
    let is_guided = dice.below(3) == 0;
    config.resolver_service = is_guided.then(|| SERVERS.to_owned());
    let given = if is_guided { &servers[..1] } else { &servers };
    let mut world = World::new(given, config.clone(), seed);
    let zone = &servers.iter().fold(zone.clone(), |zone, server| {
        let name = format!("ns-{}.test.com.", server.ip());
        zone.with(SERVERS, 60, srv(0, 0, server.port(), &name)).with(&name, 60, host(server.ip()))
    });
    for (index, address) in servers.iter().enumerate() {
        let (weather, zone, mut dice) = (weather.clone(), zone.clone(), dice.fork(index as u64));
        world.serve(*address, move |asked| weather.spoil(asked, &zone, &mut dice));
        if index == 1 {
            world.connects(*address, Connects::Refuses);
        }
    }
    (world, servers, config)
}

/// Lets it run, with hints and clock jumps thrown in, until `end`.
fn weather_it(world: &mut World, dice: &mut Dice, end: Timestamp, mut check: impl FnMut(&World)) {
    while world.step_until(end) {
        check(world);
        match dice.below(200) {
            0 => world.handle(Event::ResolveNow),
            1 => world.handle(Event::Tick),
            2 => world.now = world.now.after(dice.up_to(secs(120))),
            _ => continue,
        }
        check(world);
    }
    world.now = world.now.max(end);
}

/// What the zone says, once everything works.
fn truth(world: &mut World, servers: &[SocketAddr], zone: &Zone) -> BTreeSet<(String, SocketAddr)> {
    for address in servers {
        world.serve(*address, zone.clone().server());
        world.connects(*address, Connects::Accepts);
    }
    world.run_for(secs(200));
    identities(world.resolver.set())
}

#[test]
fn whatever_fails_the_set_only_grows_towards_the_truth_and_reaches_it_when_the_weather_clears() {
    let mut published = 0;
    for seed in 0..200 {
        let mut dice = Dice::Seeded(seed);
        let weather = Weather::draw(&mut dice, true);
        let zone = zone(&mut dice);
        let (mut world, servers, _) = world(seed, &mut dice, &weather, &zone);
        weather_it(&mut world, &mut dice, Timestamp::from_millis(150_000), |_| {});
        // Nobody ever denied anything.
        let sets: Vec<_> = world.sets.iter().map(|(_, set)| identities(set)).collect();
        for two in sets.windows(2) {
            assert!(two[0].is_subset(&two[1]), "I6, I7, I8: removed, seed {seed}: {weather:?}");
        }
        published += usize::from(!sets.is_empty());
        let last = sets.last().cloned().unwrap_or_default();
        let truth = truth(&mut world, &servers, &zone);
        assert!(last.is_subset(&truth), "seed {seed}: nothing was invented");
        assert!(!truth.is_empty() && truth == fresh(&zone, &world, seed), "I19, seed {seed}");
        assert_eq!(world.resolver.stale_since(), None);
        world.handle(Event::ShutDown);
    }
    assert!(published > 130, "worlds in which nothing happens prove nothing: {published}");
}

/// What a new resolver with the same settings finds in one round.
fn fresh(zone: &Zone, old: &World, seed: u64) -> BTreeSet<(String, SocketAddr)> {
    let families: BTreeSet<bool> =
        old.resolver.set().iter().map(|backend| backend.address.is_ipv6()).collect();
    let addresses = match (families.contains(&true), families.contains(&false)) {
        (true, true) => Addresses::Both,
        (true, false) => Addresses::V6Only,
        (false, _) => Addresses::V4Only,
    };
    let mut world = World::new(&[server(9)], Config { addresses, ..Config::default() }, seed);
    world.serve(server(9), zone.clone().server());
    world.run_for(secs(1));
    identities(world.resolver.set())
}

#[test]
fn rounds_keep_their_distance_and_their_budget_in_any_weather() {
    for seed in 1_000..1_100 {
        let mut dice = Dice::Seeded(seed);
        let weather = Weather::draw(&mut dice, seed % 2 == 0);
        let zone = zone(&mut dice);
        let (mut world, servers, config) = world(seed, &mut dice, &weather, &zone);
        weather_it(&mut world, &mut dice, Timestamp::from_millis(150_000), |_| {});
        let first = world.sets.first().map_or(Timestamp::NEVER, |(at, _)| *at);
        let floor = config.min_query_interval.min(config.query_interval);
        let turns = servers.len().div_ceil(config.max_dns_concurrency) as u32;
        let mut started = Timestamp::EPOCH;
        let mut ended = None;
        let mut jumped = 0;
        for (at, note) in &world.notes {
            if let Note::RoundStarted { .. } = note {
                let close = ended.is_some_and(|ended| ended > first && at.since(ended) < floor);
                assert!(!close, "I12, seed {seed}: rounds at least {floor:?} apart");
                started = *at;
            } else if let Note::RoundEnded { .. } = note {
                // A jump of the clock may make one longer.
                jumped += usize::from(at.since(started) > config.query_timeout * turns);
                ended = Some(*at);
            }
        }
        assert!(jumped <= 12, "I11, seed {seed}: {jumped} rounds too long");
        assert!(world.open() <= 5 * 3 * config.max_inflight_per_server.max(1));
    }
}

#[test]
fn hostile_bytes_change_nothing_but_what_they_say() {
    for seed in 2_000..2_100 {
        let mut dice = Dice::Seeded(seed);
        let weather = Weather::draw(&mut dice, false);
        let zone = zone(&mut dice);
        let (mut world, servers, config) = world(seed, &mut dice, &weather, &zone);
        weather_it(&mut world, &mut dice, Timestamp::from_millis(100_000), |world| {
            assert!(world.resolver.set().len() <= 1024);
        });
        for (_, note) in &world.notes {
            if let Note::Answered { answer: Answer::Records { ttl, .. }, .. } = note {
                assert!(*ttl <= secs(604_800), "I17");
            }
        }
        // Lies expire or are overruled: in the end it is the truth. A lie may live for seven days,
        // or for ever with a hard-coded time to live.
        if config.hardcoded_ttl.is_none() {
            truth(&mut world, &servers, &zone);
            world.now = world.now.after(secs(8 * 24 * 3_600));
            truth(&mut world, &servers, &zone);
            assert_eq!(identities(world.resolver.set()), fresh(&zone, &world, seed), "seed {seed}");
        }
    }
}

#[test]
fn the_order_of_answers_within_a_round_does_not_matter() {
    // Three servers that disagree, and every answer at a random time within the round.
    for seed in 3_000..3_020 {
        let mut results = BTreeSet::new();
        for shuffle in 0..10 {
            let servers: Vec<SocketAddr> = (1..=3).map(server).collect();
            let config = Config { max_backends: 5, max_targets: 4, ..Config::default() };
            let mut world = World::new(&servers, config, seed);
            for (index, address) in servers.iter().enumerate() {
                let zone = zone(&mut Dice::Seeded(seed).fork(index as u64));
                let mut dice = Dice::Seeded(shuffle).fork(index as u64);
                world.serve(*address, move |asked| {
                    asked
                        .reply(&zone.answer(asked))
                        .into_iter()
                        .map(|reply| reply.after(dice.up_to(ms(900))))
                        .collect()
                });
            }
            while world.count(|note| matches!(note, Note::RoundEnded { .. })) == 0 {
                world.step_until(Timestamp::from_millis(10_000));
            }
            results.insert(format!("{:?}", world.resolver.set()));
        }
        assert_eq!(results.len(), 1, "I9, seed {seed}");
    }
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let run = |seed: u64| {
        let mut dice = Dice::Seeded(seed);
        let weather = Weather::draw(&mut dice, false);
        let zone = zone(&mut dice);
        let (mut world, ..) = world(seed, &mut dice, &weather, &zone);
        weather_it(&mut world, &mut dice, Timestamp::from_millis(60_000), |_| {});
        (world.notes, world.sets, world.resolver)
    };
    for seed in 4_000..4_010 {
        assert!(run(seed) == run(seed), "seed {seed}");
        assert!(run(seed).0 != run(seed + 1).0);
    }
}

#[test]
fn a_resolver_in_any_state_ends_at_once() {
    for seed in 5_000..5_100 {
        let mut dice = Dice::Seeded(seed);
        let weather = Weather::draw(&mut dice, false);
        let zone = zone(&mut dice);
        let (mut world, ..) = world(seed, &mut dice, &weather, &zone);
        let end = Timestamp::EPOCH.after(dice.up_to(secs(30)));
        weather_it(&mut world, &mut dice, end, |_| {});
        world.handle(Event::ShutDown);
        assert_eq!((world.open(), world.resolver.deadline()), (0, None));
    }
}
