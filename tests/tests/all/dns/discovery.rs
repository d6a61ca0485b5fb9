//! M6 and M8: servers that are found by name, and asked beside those that were given.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_proto::op::ResponseCode;
use qorb_core::Timestamp;
use qorb_core::dns::{Addresses, Config, ConfigError, Event, Note, Origin, Resolver};
use qorb_tests::dns_world::{Asked, Reply, SERVICE, World, Zone, host, srv};

use super::{ONE, THREE, TWO, ms, plain, secs, server};

/// The name that leads to DNS servers.
const SERVERS: &str = "_dns._udp.test.com.";

fn config() -> Config {
    Config { resolver_service: Some(SERVERS.to_owned()), addresses: Addresses::Both, ..plain() }
}

/// A zone that names these servers, each by a name and an address of its own.
fn naming(servers: &[SocketAddr]) -> Zone {
    servers.iter().fold(Zone::of(0), |zone, server| {
        let name = format!("ns-{}.test.com.", server.ip());
        zone.with(SERVERS, 60, srv(0, 0, server.port(), &name)).with(&name, 60, host(server.ip()))
    })
}

/// A server that knows the way to others, and nothing of the service (N6).
fn guide(zone: Zone) -> impl FnMut(&Asked) -> Vec<Reply> {
    let mut honest = zone.server();
    move |asked| {
        let is_of_service = asked.question().0 == SERVICE;
        if is_of_service { asked.reply(&asked.error(ResponseCode::Refused)) } else { honest(asked) }
    }
}

fn only(targets: &[u16]) -> Zone {
    targets.iter().fold(Zone::of(0), |zone, target| zone.with_target(*target)).sending_along(99)
}

/// One server that leads to two others, which know the service.
fn guided() -> World {
    let mut world = World::new(&[ONE], config(), 1);
    world.serve(ONE, guide(naming(&[TWO, THREE])));
    world.serve(TWO, only(&[1, 2]).server());
    world.serve(THREE, only(&[2, 3]).server());
    world
}

/// The servers that are asked for the service.
fn asked(world: &World) -> Vec<SocketAddr> {
    world.resolver.servers().map(|status| status.address).collect()
}

#[test]
fn m6_n6_servers_that_are_found_are_asked_at_once_though_the_one_that_leads_there_refuses_the_service() {
    let mut world = guided();
    world.run_for(ms(10));
    assert_eq!(asked(&world), [ONE, TWO, THREE]);
    let origins: Vec<Origin> = world.resolver.servers().map(|status| status.origin).collect();
    assert_eq!(origins, [Origin::Bootstrap, Origin::Discovered, Origin::Discovered]);
    assert_eq!(world.addresses(), Zone::backends([1, 2, 3]), "M6: what they all say together");
    let of_servers = world.asked.iter().filter(|asked| asked.question().0 == SERVERS);
    assert!(of_servers.into_iter().all(|asked| asked.server == ONE), "those that are given alone lead there");
}

#[test]
fn m6_a_silent_bootstrap_server_holds_up_nobody() {
    let silent = server(9);
    let mut world = World::new(&[ONE, silent], config(), 1);
    world.serve(ONE, guide(naming(&[TWO, THREE])));
    world.serve(TWO, only(&[1]).server());
    world.run_for(ms(10));
    assert_eq!(
        world.addresses(),
        Zone::backends([1]),
        "M6: asked in the round under way, for nothing was found yet"
    );
}

#[test]
fn m6_a_server_that_is_no_longer_found_goes_with_what_it_said_and_its_open_questions() {
    let mut world = guided();
    world.run_for(ms(10));
    // It hangs in the second round, when it is not found any more.
    world.serve(THREE, |_| Vec::new());
    world.serve(ONE, guide(naming(&[TWO])));
    world.run_for(secs(59));
    assert_eq!(asked(&world), [ONE, TWO, THREE]);
    while world.count(|note| matches!(note, Note::ServerDismissed { .. })) == 0 {
        world.step_until(Timestamp::NEVER);
    }
    assert_eq!(asked(&world), [ONE, TWO]);
    world.run_for(ms(10));
    assert_eq!(world.open(), 0, "M6: nobody waits for it");
    world.run_for(secs(60));
    assert_eq!(world.addresses(), Zone::backends([1, 2]));
    // What it was asked may still be answered: nobody listens.
    world.run_for(secs(600));
    assert_eq!(world.sets.len(), 3);
}

#[test]
fn m6_b26_i18_discovered_servers_go_after_confirmed_denials_and_the_bootstrap_stays() {
    let mut world = guided();
    world.run_for(secs(1));
    world.serve(ONE, |asked| asked.reply(&asked.error(ResponseCode::NXDomain)));
    world.run_for(secs(60));
    assert_eq!(asked(&world), [ONE, TWO, THREE], "B26: once is a blip");
    world.run_for(secs(11));
    assert_eq!(asked(&world), [ONE], "I18: what was given stays");
    world.serve(ONE, only(&[7]).server());
    world.run_for(secs(600));
    assert_eq!((asked(&world), world.addresses()), (vec![ONE], Zone::backends([7])));
}

#[test]
fn m6_n8_discovered_servers_stay_while_nobody_says_anything_about_them() {
    let mut world = guided();
    world.run_for(secs(1));
    world.serve(ONE, |_| Vec::new());
    world.run_for(secs(10_000));
    assert_eq!(asked(&world), [ONE, TWO, THREE]);
    assert_eq!((world.sets.len(), world.resolver.stale_since()), (2, None));
    let stale = |note: &Note| matches!(note, Note::Discovery(note) if matches!(**note, Note::Stale { .. }));
    assert_eq!(world.count(stale), 1, "but it is told");
}

#[test]
fn b24_m8_of_too_many_servers_the_best_are_asked_beside_the_bootstrap() {
    let zone = (0..500_u16).fold(Zone::of(0), |zone, number| {
        let [high, low] = number.to_be_bytes();
        let name = format!("ns{number:03}.test.com.");
        // Ten of the better priority, thirty of the higher weight among the rest.
        let (priority, weight) = (u16::from(number < 490), u16::from((100..130).contains(&number)));
        let record = srv(priority, weight, 53, &name);
        zone.with(SERVERS, 60, record).with(&name, 60, host(IpAddr::from([198, 51, 100 + high, low])))
    });
    let mut world = World::new(&[ONE], Config { max_dns_concurrency: 20, ..config() }, 1);
    world.serve(ONE, guide(zone));
    world.run_for(secs(2));
    let expected: Vec<SocketAddr> = (490..500_u16)
        .chain(100..106)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            SocketAddr::from((Ipv4Addr::new(198, 51, 100 + high, low), 53))
        })
        .collect();
    let mut found: Vec<SocketAddr> = asked(&world).into_iter().filter(|address| *address != ONE).collect();
    found.sort_by_key(|address| expected.iter().position(|other| other == address));
    assert_eq!(found, expected, "B24, M8: 16 by priority, weight and name");
    assert!(world.count(|note| matches!(note, Note::ServersLeftOut { servers: 484 })) > 0);
}

#[test]
fn b25_servers_that_are_none_fail_and_harm_nobody() {
    // The name leads to the backends themselves.
    let zone = only(&[1, 2]).with(SERVERS, 60, srv(0, 0, 8001, "echo001.test.com."));
    let mut world = World::new(&[ONE], config(), 1);
    world.serve(ONE, zone.server());
    world.run_for(secs(3_000));
    assert_eq!((world.addresses(), world.sets.len()), (Zone::backends([1, 2]), 1), "B25");
    let status: Vec<_> =
        world.resolver.servers().map(|status| (status.origin, status.failures > 3)).collect();
    assert_eq!(status, [(Origin::Bootstrap, false), (Origin::Discovered, true)]);
}

#[test]
fn b30_i18_a_server_that_is_given_and_found_is_one_and_stays() {
    let SocketAddr::V4(plain_form) = ONE else { panic!("ONE is an IPv4 address") };
    let mapped = SocketAddr::from((plain_form.ip().to_ipv6_mapped(), plain_form.port()));
    let mut world = World::new(&[ONE, mapped], config(), 1);
    let zone = naming(&[ONE]).with_target(1);
    world.serve(ONE, zone.server());
    world.run_for(secs(1));
    assert_eq!(asked(&world), [ONE], "B30");
    world.serve(ONE, Zone::of(1).server());
    world.run_for(secs(200));
    assert_eq!((asked(&world), world.addresses()), (vec![ONE], Zone::backends([1])), "I18");
}

#[test]
fn m6_new_servers_again_and_again_put_off_no_removal() {
    let mut world = World::new(&[ONE], config(), 1);
    let service = only(&[1, 2]);
    world.serve(ONE, service.server());
    world.run_for(secs(1));
    let (mut turn, mut service) = (0, only(&[2]).server());
    world.serve(ONE, move |asked| {
        if asked.question().0 == SERVICE {
            return service(asked);
        }
        turn += 1;
        // Names nobody is at, good for no time at all.
        let address = IpAddr::from([203, 0, 113, turn]);
        let name = format!("ns{turn}.test.com.");
        let zone = Zone::of(0).with(SERVERS, 0, srv(0, 0, 53, &name)).with(&name, 0, host(address));
        asked.reply(&zone.sending_along(1).answer(asked))
    });
    world.run_for(secs(75));
    assert_eq!(world.addresses(), Zone::backends([2]), "the round ended all the same");
    assert!(world.count(|note| matches!(note, Note::ServerAppointed { .. })) > 2);
}

#[test]
fn m6_t14_a_server_that_does_not_know_edns_is_asked_without_for_either_name() {
    let mut world = World::new(&[ONE], config(), 1);
    let mut honest = naming(&[]).with_target(1).server();
    world.serve(ONE, move |asked| {
        if asked.message.edns.is_some() && asked.question().0 == SERVERS {
            return asked.reply(&asked.error(ResponseCode::BADVERS));
        }
        honest(asked)
    });
    world.run_for(secs(61));
    let with_edns = world.asked.iter().filter(|asked| asked.message.edns.is_some()).count();
    assert_eq!(with_edns, 2, "the first of either: {:?}", world.asked.len());
}

#[test]
fn l7_b28_the_end_closes_what_either_search_has_open() {
    for steps in 0..12 {
        let mut world = guided();
        for _ in 0..steps {
            world.step_until(Timestamp::from_millis(60_000));
        }
        world.handle(Event::ShutDown);
        assert_eq!((world.open(), world.latest.len() < 9), (0, true), "L7");
        world.handle(Event::Tick);
    }
}

#[test]
fn l5_a_hint_has_servers_looked_for_too() {
    let mut world = guided();
    world.run_for(secs(20));
    let before = world.asked.len();
    world.handle(Event::ResolveNow);
    let hurried: Vec<String> = world.asked[before..].iter().map(|asked| asked.question().0).collect();
    assert_eq!(hurried, [SERVERS, SERVICE, SERVICE, SERVICE], "L5");
}

#[test]
fn a_name_of_servers_that_can_be_none_is_refused() {
    for (name, error) in [("", ConfigError::EmptyName), ("a..b", ConfigError::InvalidName)] {
        let config = Config { resolver_service: Some(name.to_owned()), ..config() };
        let refused = Resolver::new(SERVICE, &[ONE], config, [0; 32], Timestamp::EPOCH);
        assert_eq!(refused.expect_err("this is refused"), error);
    }
}
