//! What hostile amounts of records cost: bounds on what is kept, and on what is done with it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use qorb_core::dice::Dice;
use qorb_core::dns::{Config, Event, Note, Unusable};
use qorb_core::{Backend, Machine};
use qorb_tests::dns_world::{SERVICE, World, Zone, host, srv};

use super::{ONE, TWO, ms, plain, secs, server, world_of};

/// Short, so that many records of it fit into a message.
const BIG: &str = "b.";

fn v6(number: u16) -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, number])
}

/// So many addresses of one name.
fn addresses(zone: Zone, name: &str, count: u16) -> Zone {
    (1..=count).fold(zone, |zone, number| zone.with(name, 9_999, host(v6(number))))
}

fn dropped(world: &World) -> Vec<(Unusable, usize)> {
    let mut dropped = Vec::new();
    for (_, note) in &world.notes {
        if let Note::Dropped { why, records, .. } = note {
            dropped.push((*why, *records));
        }
    }
    dropped
}

fn left_out(world: &World) -> Vec<usize> {
    let mut left_out = Vec::new();
    for (_, note) in &world.notes {
        if let Note::LeftOut { backends } = note {
            left_out.push(*backends);
        }
    }
    left_out
}

#[test]
fn a21_many_ports_and_addresses_of_one_name_are_bounded_before_they_are_multiplied() {
    let ports = (1..=1_500).fold(Zone::of(0), |zone, port| zone.with(SERVICE, 60, srv(0, 0, port, BIG)));
    let mut world = world_of(addresses(ports, BIG, 2_000));
    world.run_for(secs(1));
    let expected = [(Unusable::TooManyTargets, 1_500 - 1_024), (Unusable::TooManyAddresses, 2_000 - 1_024)];
    assert_eq!(dropped(&world), expected);
    assert_eq!(left_out(&world), [1_024 * 1_024 - 1_024]);
    let expected: Vec<SocketAddr> = (1..=1_024).map(|port| SocketAddr::new(v6(1), port)).collect();
    let set: Vec<SocketAddr> = world.resolver.set().iter().map(|backend| backend.address).collect();
    assert_eq!(set, expected, "of one priority, the first by identity");
}

#[test]
fn a21_of_many_ports_the_better_priority_stays() {
    let zone = (1..=9).fold(Zone::of(0), |zone, port| zone.with(SERVICE, 60, srv(9 - port, 0, port, BIG)));
    let mut world = World::new(&[ONE], Config { max_targets: 2, ..plain() }, 1);
    world.serve(ONE, addresses(zone, BIG, 1).server());
    world.run_for(secs(1));
    assert_eq!(world.addresses(), ["[fd00::1]:8", "[fd00::1]:9"]);
    assert_eq!(dropped(&world), [(Unusable::TooManyTargets, 7)]);
}

#[test]
fn a21_addresses_that_came_along_are_bounded_too() {
    let zone = Zone::of(0).with(SERVICE, 60, srv(0, 0, 1, BIG));
    let mut world = World::new(&[ONE], Config { max_backends: 4, ..plain() }, 1);
    world.serve(ONE, addresses(zone, BIG, 9).sending_along(1).server());
    world.run_for(secs(1));
    assert_eq!(world.addresses().len(), 4);
    assert_eq!(dropped(&world), [(Unusable::TooManyAddresses, 5)]);
}

/// So many targets with as many addresses each, and a port.
fn crowd(targets: u16, addresses: u16) -> Zone {
    (1..=targets).fold(Zone::of(0), |zone, target| {
        let name = format!("t{target:02}.test.com.");
        let zone = zone.with(SERVICE, 60, srv(targets - target, 0, 1, &name));
        (1..=addresses).fold(zone, |zone, number| zone.with(&name, 9_999, host(v6(target * 100 + number))))
    })
}

#[test]
fn a21_i2_a_view_holds_no_more_addresses_than_could_be_published_whatever_comes_first() {
    let best: Vec<Backend> = {
        let mut world = World::new(&[ONE], Config { max_targets: 2, ..plain() }, 1);
        world.serve(ONE, crowd(20, 10).server());
        world.run_for(secs(1));
        world.resolver.set().to_vec()
    };
    assert_eq!(best.len(), 20);
    for seed in 0..20 {
        let mut world = World::new(&[ONE], Config { max_backends: 20, ..plain() }, seed);
        let (zone, mut dice) = (crowd(20, 10), Dice::Seeded(seed));
        world.serve(ONE, move |asked| {
            let late = dice.up_to(ms(900));
            asked.reply(&zone.answer(asked)).into_iter().map(|reply| reply.after(late)).collect()
        });
        for _ in 0..3 {
            world.run_for(secs(60));
            assert_eq!(world.resolver.set(), best, "A21, seed {seed}");
            let held = format!("{:?}", world.resolver).matches("found: {fd00::").count();
            assert_eq!(held, 2, "I2: the targets of which addresses are known, seed {seed}");
        }
    }
}

#[test]
fn a21_addresses_that_were_left_out_are_asked_for_again_when_there_may_be_room() {
    let mut world = World::new(&[ONE], Config { max_backends: 20, ..plain() }, 1);
    world.serve(ONE, crowd(20, 10).server());
    world.run_for(secs(1));
    let shorter = crowd(18, 10);
    world.serve(ONE, shorter.clone().server());
    world.run_for(secs(60));
    let mut fresh = World::new(&[ONE], Config { max_backends: 20, ..plain() }, 1);
    fresh.serve(ONE, shorter.server());
    fresh.run_for(secs(1));
    assert_eq!(world.resolver.set(), fresh.resolver.set(), "I19");
}

/// A server's few names, ports and addresses, with ranks that differ from server to server.
struct Crowd {
    services: BTreeMap<(String, u16), (u16, u16)>,
    addresses: BTreeMap<String, Vec<IpAddr>>,
}

impl Crowd {
    fn draw(dice: &mut Dice) -> Self {
        let mut crowd = Self { services: BTreeMap::new(), addresses: BTreeMap::new() };
        for name in ["a.test.com.", "b.test.com.", "c.test.com."] {
            for port in 1..=dice.below(4) as u16 {
                let rank = (dice.below(3) as u16, dice.below(3) as u16);
                crowd.services.insert((name.to_owned(), port), rank);
            }
            let mut addresses: Vec<IpAddr> = (1..=9).map(v6).collect();
            addresses.extend((1..=9).map(|number| IpAddr::from([10, 0, 0, number])));
            addresses.retain(|_| dice.below(3) == 0);
            crowd.addresses.insert(name.to_owned(), addresses);
        }
        crowd
    }

    fn zone(&self) -> Zone {
        let services = self.services.iter().fold(Zone::of(0), |zone, ((name, port), (priority, weight))| {
            zone.with(SERVICE, 60, srv(*priority, *weight, *port, name))
        });
        let each = self.addresses.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one)));
        each.fold(services, |zone, (name, address)| zone.with(name, 60, host(*address)))
    }

    fn backends(&self) -> impl Iterator<Item = Backend> {
        self.services.iter().flat_map(|((name, port), (priority, weight))| {
            self.addresses[name].iter().map(move |address| Backend {
                name: name.as_str().into(),
                address: SocketAddr::new(*address, *port),
                priority: *priority,
                weight: *weight,
            })
        })
    }
}

/// The best `max` of all, found the long way.
fn best(crowds: &[Crowd], max: usize) -> Vec<Backend> {
    let mut all: Vec<Backend> = crowds.iter().flat_map(Crowd::backends).collect();
    all.sort_by_key(|one| (one.name.clone(), one.address, one.priority, u16::MAX - one.weight));
    all.dedup_by_key(|one| (one.name.clone(), one.address));
    all.sort_by_key(|one| (one.priority, one.name.clone(), one.address));
    all.truncate(max);
    all.sort_by_key(|one| (one.name.clone(), one.address));
    all
}

#[test]
fn a21_the_union_of_servers_that_disagree_is_the_best_of_all_they_name() {
    for seed in 0..150 {
        let mut dice = Dice::Seeded(seed);
        let crowds: Vec<Crowd> = (0..3).map(|_| Crowd::draw(&mut dice)).collect();
        let servers: Vec<SocketAddr> = (1..=3).map(server).collect();
        let max_backends = 1 + dice.below(20) as usize;
        let config = Config { max_backends, jitter_percent: 0, ..Config::default() };
        let mut world = World::new(&servers, config, seed);
        for (address, crowd) in servers.iter().zip(&crowds) {
            world.serve(*address, crowd.zone().server());
        }
        world.run_for(secs(1));
        assert_eq!(world.resolver.set(), best(&crowds, max_backends), "seed {seed}");
        let all = best(&crowds, usize::MAX).len();
        assert_eq!(left_out(&world).is_empty(), all <= max_backends, "seed {seed}");
        assert!(
            left_out(&world).iter().all(|some| *some <= all - max_backends),
            "seed {seed}: at least so many"
        );
    }
}

/// How long a hundred datagrams that are passed over take, while its question is open.
fn passed_over(backends: u16) -> Duration {
    let names: Vec<String> = (0..5).map(|number| format!("n{number}.test.com.")).collect();
    let zone = names.iter().fold(Zone::of(0), |zone, name| {
        addresses(zone.with(SERVICE, 60, srv(0, 0, 1, name)), name, backends / 5)
    });
    let mut world = World::new(&[ONE], Config { max_backends: 65_535, ..plain() }, 1);
    world.serve(ONE, zone.server());
    world.run_for(secs(1));
    assert_eq!(world.resolver.set().len(), usize::from(backends));
    world.serve(ONE, |_| Vec::new());
    world.run_for(ms(59_500));
    let [open] = world.queries()[..] else { panic!("the second round's question is open") };
    let mut out = Vec::with_capacity(100);
    let began = Instant::now();
    for _ in 0..100 {
        world.resolver.handle(world.now, Event::Datagram(open, Vec::new()), &mut out);
    }
    let took = began.elapsed();
    assert_eq!(out.iter().filter(|action| format!("{action:?}").contains("TooShort")).count(), 100);
    took
}

#[test]
fn b5_a_datagram_that_is_passed_over_costs_the_same_whatever_is_published() {
    // A copy of the large set takes hundreds of times as long as passing a datagram over.
    let fastest = |backends| (0..5).map(|_| passed_over(backends)).min().expect("five runs");
    let (few, many) = (fastest(5), fastest(5_000));
    assert!(many < 20 * few + ms(1), "{few:?} with 5 backends, {many:?} with 5000");
}

#[test]
fn t6_a_question_takes_as_many_datagrams_as_it_may_and_no_longer_than_its_lookup() {
    let table = [(1, vec![0]), (2, vec![0, 1_000]), (5, vec![0, 322, 967, 2_258, 4_838])];
    for (attempts, expected) in table {
        let mut world = World::new(&[ONE], Config { attempts, ..plain() }, 1);
        world.run_for(secs(10) - ms(1));
        let at: Vec<u64> = world.asked.iter().map(|asked| asked.at.as_nanos() / 1_000_000).collect();
        assert_eq!(at[..attempts.into()], expected, "T6: {attempts} attempts");
        let plain = world.asked.iter().take(attempts.into()).filter(|asked| asked.message.edns.is_none());
        assert_eq!(plain.count(), usize::from(attempts.saturating_sub(2)), "T16: from the third on");
    }
}

#[test]
fn what_each_server_names_is_told_with_the_time_that_is_left() {
    let mut world = World::new(&[ONE, TWO], plain(), 1);
    world.serve(ONE, Zone::of(2).server());
    world.serve(TWO, Zone::of(0).with(SERVICE, 9, srv(1, 2, 3, BIG)).with(BIG, 7, host(v6(1))).server());
    world.run_for(secs(1));
    let named: Vec<_> = world.resolver.named().collect();
    assert_eq!(named.iter().filter(|named| named.server == ONE).count(), 2);
    let other: Vec<_> = named.iter().filter(|named| named.server == TWO).collect();
    let [other] = other[..] else { panic!("it names one: {named:?}") };
    assert_eq!((&*other.backend.name, other.backend.priority, other.backend.weight), (BIG, 1, 2));
    assert_eq!(other.until.as_nanos() / 1_000_000_000, 7, "the first of its records to expire");
    assert_eq!(world.resolver.rounds(), 1);
    world.run_for(secs(60));
    assert!(world.resolver.rounds() > 1);
}
