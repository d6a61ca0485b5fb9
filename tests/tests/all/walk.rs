//! Random walks of the pool machine.

use qorb_tests::walk::{Walked, walk};

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
