//! What Prometheus reads: by a parser of the tests' own, and by `promtool` where it is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use qorb_driver::{FixedResolver, Policy, Pool, Serve, connector_fn};
use qorb_examples::Platform;

use super::client::{get, server, shown};
use crate::adapters::{ANY, on_both_runtimes, pool_of, run, unclaimed, until};

on_both_runtimes! {
    metrics_are_what_prometheus_reads,
    awkward_names_are_escaped,
}

/// Samples by name and labels.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Reads the text format, and is strict about it.
fn parsed(text: &str) -> Samples {
    let (mut samples, mut kinds) = (Samples::new(), BTreeMap::new());
    let mut current = String::new();
    assert!(text.ends_with('\n') || text.is_empty());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            current = help.split(' ').next().expect("a name").to_owned();
            assert!(help.len() > current.len() + 5, "{current} is explained");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a type");
            assert_eq!(name, current, "its explanation comes first");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
        } else {
            let (key, value) = sample(line);
            let suffixes = ["_bucket", "_sum", "_count"];
            let of = suffixes.iter().find_map(|suffix| key.0.strip_suffix(suffix)).unwrap_or(&key.0);
            assert_eq!(of, current, "samples of a family stand together: {line}");
            assert_eq!(kinds[of] == "counter", of.ends_with("_total"), "{line}");
            assert!(samples.insert(key, value).is_none(), "twice: {line}");
        }
    }
    samples
}

fn sample(line: &str) -> ((String, BTreeMap<String, String>), f64) {
    let (name, rest) = line.split_once('{').expect("labels");
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    loop {
        let (key, tail) = rest.split_once("=\"").expect("a label");
        let mut value = String::new();
        let mut chars = tail.chars();
        loop {
            match chars.next().expect("the value ends") {
                '"' => break,
                '\\' => value.push(match chars.next() {
                    Some('n') => '\n',
                    Some(other @ ('"' | '\\')) => other,
                    other => panic!("{other:?} is no escape: {line}"),
                }),
                other => value.push(other),
            }
        }
        assert!(labels.insert(key.to_owned(), value).is_none(), "{line}");
        rest = chars.as_str();
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    let value = rest.strip_prefix("} ").expect("a value");
    ((name.to_owned(), labels), value.parse().expect("a number"))
}

/// What `promtool` has to say, if it is installed.
fn checked_by_promtool(text: &str) {
    let mut tool = Command::new("promtool");
    tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let tool = tool.spawn();
    let Ok(mut tool) = tool else { return };
    let mut stdin = tool.stdin.take().expect("it is a pipe");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let output = tool.wait_with_output().expect("it ends");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

fn value(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: BTreeMap<_, _> =
        labels.iter().map(|(key, of)| ((*key).to_owned(), (*of).to_owned())).collect();
    *samples.get(&(name.to_owned(), labels.clone())).unwrap_or_else(|| panic!("no {name} of {labels:?}"))
}

/// Checks the classes of a histogram against its sum and count.
fn check_histogram(samples: &Samples, name: &str, pool: &str) -> f64 {
    let count = value(samples, &format!("{name}_count"), &[("pool", pool)]);
    let bucket = format!("{name}_bucket");
    let mut buckets: Vec<_> = samples
        .iter()
        .filter(|((of, labels), _)| *of == bucket && labels["pool"] == pool)
        .map(|((_, labels), below)| {
            (labels["le"].replace("+Inf", "inf").parse::<f64>().expect("a bound"), *below)
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(buckets.is_sorted_by_key(|(_, below)| *below), "{name}: {buckets:?}");
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)));
    assert!((buckets[0].0 - 1e-6).abs() < 1e-12, "the first class ends at a microsecond: {buckets:?}");
    let sum = value(samples, &format!("{name}_sum"), &[("pool", pool)]);
    assert_eq!(sum > 0.0, count > 0.0, "{name}");
    count
}

fn metrics_are_what_prometheus_reads<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let (echo, pool, server) = shown::<P>().await;
        server.add(&pool_of::<P>(&[], |_| {}));
        for _ in 0..20 {
            drop(pool.claim().await.expect("there is a server"));
        }
        let handle = pool.claim().await.expect("there is a server");
        until::<P>("the spares are there", || unclaimed::<P>(&pool) == 8).await;
        let said = get(server.local_addr(), "/metrics").await;
        assert!(said.head.contains("Content-Type: text/plain; version=0.0.4"), "{said:?}");
        checked_by_promtool(&said.body);
        let samples = parsed(&said.body);

        let address = echo.address().to_string();
        let slots = |state| {
            value(&samples, "qorb_slots", &[("pool", "workout"), ("backend", &address), ("state", state)])
        };
        assert_eq!(
            ["connecting", "unclaimed", "checking", "claimed", "closing"].map(slots),
            [0., 8., 0., 1., 0.]
        );
        let backends = |state| value(&samples, "qorb_backends", &[("pool", "workout"), ("state", state)]);
        assert_eq!(["up", "down", "untried", "gone"].map(backends), [1., 0., 0., 0.]);
        let of_pool = [("pool", "workout")];
        assert_eq!(value(&samples, "qorb_claims_waiting", &of_pool), 0.0);
        let claims =
            |result| value(&samples, "qorb_claims_total", &[("pool", "workout"), ("result", result)]);
        assert_eq!(claims("granted_at_once") + claims("granted_after_waiting"), 21.0);
        assert_eq!(claims("cancelled") + claims("AllClaimsUsed"), 0.0);
        let failures = [("pool", "workout"), ("backend", &*address)];
        assert_eq!(value(&samples, "qorb_connect_failures_total", &failures), 0.0);
        assert_eq!(
            check_histogram(&samples, "qorb_connect_seconds", "workout"),
            pool.stats().connects as f64
        );
        assert_eq!(
            check_histogram(&samples, "qorb_claim_wait_seconds", "workout"),
            claims("granted_after_waiting")
        );
        check_histogram(&samples, "qorb_claim_hold_seconds", "workout");
        let pools: BTreeSet<_> = samples.keys().map(|(_, labels)| labels["pool"].as_str()).collect();
        assert_eq!(pools.into_iter().collect::<Vec<_>>(), ["workout"], "the other has ended");
        drop(handle);
    });
}

fn awkward_names_are_escaped<P: Platform<Runtime: Serve>>() {
    run::<P, _>(async {
        let refuses = connector_fn(|_| async { Err::<(), _>(std::io::Error::other("never")) });
        let name = "a \"pool\"\n\\ of {many}, words";
        let pool: Pool<_, P::Runtime> =
            Pool::new(name, FixedResolver::new([ANY]), refuses, Policy::default()).expect("it works");
        let server = server::<P::Runtime>().await;
        server.add(&pool);
        until::<P>("a connect has failed", || pool.stats().failures > 0).await;
        let said = get(server.local_addr(), "/metrics").await;
        checked_by_promtool(&said.body);
        let samples = parsed(&said.body);
        let labels = [("pool", name), ("backend", "127.0.0.1:0")];
        assert!(value(&samples, "qorb_connect_failures_total", &labels) > 0.0);
        assert_eq!(value(&samples, "qorb_backends", &[("pool", name), ("state", "down")]), 1.0);
        assert_eq!(check_histogram(&samples, "qorb_connect_seconds", name), 0.0);
    });
}
