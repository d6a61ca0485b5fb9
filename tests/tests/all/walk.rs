//! Random walks of the pool machine and of the driver.

use qorb_tests::walk::{Walked, walk, walk_driver};

#[test]
fn two_hundred_large_worlds_keep_every_rule() {
    let mut sum = Walked::default();
    for seed in 0..200 {
        sum += walk(seed).unwrap_or_else(|violation| panic!("{violation}\n{}", violation.log));
    }
    // A walk in which nothing happens would find nothing.
    assert!(sum.granted > sum.events / 50 && sum.served > 2_000, "{sum:?}");
}

#[test]
fn a_seed_is_a_world() {
    for seed in 0..5 {
        assert_eq!(walk(seed).expect("it holds"), walk(seed).expect("it holds"));
    }
}

#[test]
fn five_hundred_worlds_of_the_driver_end_well() {
    let mut calls = 0;
    for seed in 0..500 {
        calls += walk_driver(seed).unwrap_or_else(|rule| panic!("seed {seed}: {rule}"));
    }
    assert!(calls > 10_000, "{calls} calls of the connector");
}
