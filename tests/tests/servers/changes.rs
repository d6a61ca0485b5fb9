//! News, and records that expire.

use std::time::Duration;

use qorb_driver::DnsResolverConfig;
use qorb_examples::Platform;

use crate::program::{Mood, Program};
use crate::search::{Search, eager};
use crate::{row, run, with_servers};

with_servers! {
    what_expires_at_once_or_soon_is_asked_again_and_never_flaps: hickory, knot, bind;
    edits_are_followed_within_one_round: knot, bind;
    answers_that_are_cut_short_at_random_are_fetched_by_stream: knot, bind;
}

/// For how long they are looked at.
const WHILE: Duration = Duration::from_secs(10);

fn what_expires_at_once_or_soon_is_asked_again_and_never_flaps<P: Platform>(program: Program) {
    let server = program.start(Mood::Fair);
    let pause = Duration::from_millis(500);
    let config =
        DnsResolverConfig { min_query_interval: pause, jitter_percent: 0, ..DnsResolverConfig::default() };
    run::<P, _>(async {
        let servers = [server.address()];
        let mut zero = Search::<P>::new(&servers, "_zero._tcp", config.clone());
        let mut short = Search::<P>::new(&servers, "_short._tcp", config);
        // The one that is asked every half second sees ten seconds pass in so many rounds; the other one, in
        // four or five.
        let rounds = WHILE.as_millis() / pause.as_millis();
        let is_over = |stats: &qorb_driver::ResolverStats, most: u128| u128::from(stats.rounds) >= most;
        let (took_zero, took_short) = smol::future::zip(
            zero.until(|stats, _| is_over(stats, rounds + 1)),
            short.until(|stats, _| is_over(stats, 6)),
        )
        .await;
        for (case, search, took) in [("TTL 0", &zero, took_zero), ("TTL 2", &short, took_short)] {
            let outcome = format!("{} rounds, {} sets", search.stats().rounds, search.sizes.len());
            row::<P>(server.name(), case, &outcome, took);
            assert_eq!(search.sizes, [2], "{case}: it never changed");
            assert!(took >= WHILE, "{case}: it was asked too often: {took:?}");
            assert!(took < 2 * WHILE, "{case}: it was asked too rarely: {took:?}");
        }
    });
}

fn edits_are_followed_within_one_round<P: Platform>(program: Program) {
    const LIVE: [&str; 4] = [
        "live1.test.com.@127.0.2.1:6001",
        "live2.test.com.@127.0.2.2:6002",
        "live3.test.com.@127.0.2.3:6003",
        "live1.test.com.@127.0.2.9:6001",
    ];
    let mut server = program.start(Mood::Fair);
    run::<P, _>(async {
        let mut search = Search::<P>::new(&[server.address()], "_live._tcp", eager());
        search.until(|_, set| set == [LIVE[0], LIVE[1]]).await;
        type Edit<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);
        let edits: [Edit<'_>; 3] = [
            (
                "a backend is added",
                &[],
                &["_live._tcp 60 SRV 0 0 6003 live3.test.com.", "live3 60 A 127.0.2.3"],
                &[LIVE[0], LIVE[1], LIVE[2]],
            ),
            (
                "a backend is removed",
                &["_live._tcp 60 SRV 0 0 6002 live2.test.com."],
                &[],
                &[LIVE[0], LIVE[2]],
            ),
            ("a backend moves", &["live1 60 A 127.0.2.1"], &["live1 60 A 127.0.2.9"], &[LIVE[3], LIVE[2]]),
        ];
        for (case, out, r#in, expected) in edits {
            server.edit(out, r#in);
            let before = search.stats().rounds;
            let took = search.until(|_, set| set == expected).await;
            let rounds = search.stats().rounds - before;
            row::<P>(server.name(), case, &format!("{} backends, {rounds} rounds", expected.len()), took);
            assert!(rounds <= 1, "{case}: {rounds} rounds");
        }
        assert!(!search.sizes.contains(&0), "never without: {:?}", search.sizes);
    });
}

fn answers_that_are_cut_short_at_random_are_fetched_by_stream<P: Platform>(program: Program) {
    let server = program.start(Mood::Curt);
    assert!(server.is_curt(), "it cuts datagrams short");
    run::<P, _>(async {
        let mut search = Search::<P>::new(&[server.address()], "_three._tcp", eager());
        let took = search.until(|stats, set| set.len() == 3 && stats.rounds > 10).await;
        row::<P>(server.name(), "datagrams cut by rate limits", "3 backends, 10 rounds", took);
        assert_eq!(search.sizes.last(), Some(&3));
        assert!(search.sizes.is_sorted(), "backends only come: {:?}", search.sizes);
    });
    assert!(server.is_curt(), "it still does");
}
