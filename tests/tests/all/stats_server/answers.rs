//! What the server tells over plain HTTP.

use qorb_driver::{FixedResolver, Policy, Pool, Serve, ServeError, StatsServer, connector_fn};
use qorb_examples::Platform;
use serde_json::json;

use super::client::{get, server, shown};
use crate::adapters::{echo_server, on_both_runtimes, pool_of, run, unclaimed, until};

on_both_runtimes! {
    s21_a_frame_has_what_the_original_reads_and_more,
    several_pools_of_any_connector_share_a_listener,
    a_pool_that_ends_is_forgotten,
    a_taken_port_is_an_error_that_says_so,
    there_is_a_sign_of_life,
    it_explains_what_a_pool_does,
    the_page_runs_nobody_elses_script,
}

fn s21_a_frame_has_what_the_original_reads_and_more<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (echo, pool, server) = shown::<P>().await;
        drop(pool.claim().await.expect("there is a server"));
        let handle = pool.claim().labelled("checkout").await.expect("there is a server");
        until::<P>("the spares are there", || unclaimed::<P>(&pool) == 8).await;

        let frame = get(server.local_addr(), "/qtop/stats").await.json();
        let set = &frame["sets"][echo.address().to_string()];
        for (field, value) in [("checking", 0), ("claimed", 1), ("connecting", 0), ("unclaimed", 8)] {
            assert_eq!(set[format!("{field}_slots")], value, "{field}: {frame}");
        }
        assert_eq!((&set["total_claims"], &frame["claims"]), (&json!(2), &json!(0)));
        assert_eq!(
            (&frame["version"], &frame["name"], &frame["ended"]),
            (&json!(1), &json!("workout"), &json!(false))
        );
        assert_eq!((&frame["total_claims"], &frame["waiting"]), (&json!(2), &json!(0)));
        assert_eq!(
            (&set["standing"], &set["online"], &set["in_set"]),
            (&json!("up"), &json!(true), &json!(true))
        );
        assert_eq!(set["address"], echo.address().to_string());
        assert_eq!((&set["connect_failures"], &set["last_error"]), (&json!(0), &json!(null)));
        assert_eq!(frame["handles"].as_array().map(Vec::len), Some(1), "{frame}");
        let out = &frame["handles"][0];
        assert_eq!((&out["slot_id"], &out["label"]), (&json!(handle.slot_id()), &json!("checkout")));
        assert_eq!(frame["connect"]["count"], frame["connects"], "every connect went well: {frame}");
        assert!(frame["at_ms"].as_u64().is_some_and(|at| at > 1_600_000_000_000), "{frame}");
    });
}

fn several_pools_of_any_connector_share_a_listener<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let server = server::<P::Runtime>().await;
        let address = server.local_addr();
        assert_eq!(get(address, "/qtop/pools").await.json(), json!({ "version": 1, "pools": [] }));
        let none = get(address, "/qtop/stats").await;
        assert_eq!(none.status, 404, "{none:?}");

        let one = pool_of::<P>(&[], |_| {});
        let connector = connector_fn(|_| async { Ok::<_, std::io::Error>(()) });
        let make = |name: &str| {
            let other = Pool::new(name, FixedResolver::new([address]), connector, Policy::default());
            let other: Pool<_, P::Runtime> = other.expect("a policy that works");
            server.add(&other);
            other
        };
        server.add(&one);
        let others = [make("an other"), make("an other")];
        let names = json!({ "version": 1, "pools": ["workout", "an other", "an other-2"] });
        assert_eq!(get(address, "/qtop/pools").await.json(), names);
        for (query, name) in [
            ("", "workout"),
            ("?pool=workout", "workout"),
            ("?pool=an%20other", "an other"),
            ("?update_secs=255&pool=an+other-2", "an other-2"),
        ] {
            assert_eq!(get(address, &format!("/qtop/stats{query}")).await.json()["name"], name);
        }
        let unknown = get(address, "/qtop/stats?pool=nobody").await;
        assert_eq!(unknown.status, 404);
        assert!(unknown.body.contains("workout, an other, an other-2"), "{unknown:?}");
        drop(others);
    });
}

fn a_pool_that_ends_is_forgotten<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let echo = echo_server();
        let server = server::<P::Runtime>().await;
        let address = server.local_addr();
        let (ended, dropped, kept) =
            (pool_of::<P>(&[&echo], |_| {}), pool_of::<P>(&[], |_| {}), pool_of::<P>(&[], |_| {}));
        for pool in [&ended, &dropped, &kept] {
            server.add(pool);
        }
        until::<P>("there are connections", || echo.open() > 0).await;
        ended.terminate().await;
        drop(dropped);
        until::<P>("the server keeps no connection open", || echo.open() == 0).await;
        let left = json!({ "version": 1, "pools": ["workout-3"] });
        assert_eq!(get(address, "/qtop/pools").await.json(), left);
        assert_eq!(get(address, "/qtop/stats").await.json()["name"], "workout-3");
    });
}

fn a_taken_port_is_an_error_that_says_so<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let first = server::<P::Runtime>().await;
        let error = StatsServer::<P::Runtime>::bind(first.local_addr()).await.expect_err("it is taken");
        assert!(matches!(error, ServeError::Listen { .. }), "{error:?}");
        assert!(error.to_string().contains(&first.local_addr().to_string()), "{error}");
    });
}

fn there_is_a_sign_of_life<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let server = server::<P::Runtime>().await;
        let said = get(server.local_addr(), "/healthz").await;
        assert_eq!((said.status, said.body.as_str()), (200, "ok\n"));
        for header in ["Connection: close", "Cache-Control: no-store", "X-Content-Type-Options: nosniff"] {
            assert!(said.head.contains(header), "{said:?}");
        }
        let nothing = get(server.local_addr(), "/etc/passwd").await;
        assert_eq!(nothing.status, 404);
        assert!(nothing.body.contains("/qtop/stats"), "{nothing:?}");
    });
}

fn it_explains_what_a_pool_does<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (echo, pool, server) = shown::<P>().await;
        until::<P>("the spares are there", || unclaimed::<P>(&pool) == 8).await;
        let explained = get(server.local_addr(), "/qtop/explain?pool=workout").await.json();
        assert_eq!((&explained["version"], &explained["name"]), (&json!(1), &json!("workout")));
        assert_eq!(explained["queue"], "nobody waits");
        let sentence = explained["backends"][echo.address().to_string()].as_str().expect("a sentence");
        assert!(sentence.starts_with("it has 8 slots (8 unclaimed), and a share of 8"), "{sentence}");
        assert_eq!(get(server.local_addr(), "/qtop/explain?pool=x").await.status, 404);
    });
}

fn the_page_runs_nobody_elses_script<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let server = server::<P::Runtime>().await;
        let nonce = |said: &super::client::Said| {
            let policy = said.head.lines().find_map(|line| line.strip_prefix("Content-Security-Policy: "));
            let policy = policy.expect("there is one");
            assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
            let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next());
            nonce.expect("there is one").to_owned()
        };
        let pages = [get(server.local_addr(), "/").await, get(server.local_addr(), "/").await];
        let nonces = pages.each_ref().map(nonce);
        assert_ne!(nonces[0], nonces[1], "they cannot be guessed");
        let inline = format!("nonce=\"{}\"", nonces[0]);
        assert_eq!(pages[0].body.matches(&inline).count(), 2, "a style and a script");
        for foreign in ["src=", "http://", "https://", "innerHTML", "@import", "url("] {
            assert!(!pages[0].body.contains(foreign), "{foreign}");
        }
    });
}
