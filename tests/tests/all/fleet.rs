//! A small fleet in every scenario.

use qorb_core::record::replay;
use qorb_tests::fleet::{LEAST, Report, SCENARIOS, Size};
use std::collections::BTreeSet;

fn size(seed: u64) -> Size {
    Size { seed, ..LEAST }
}

fn assert_passes(name: &str) -> Report {
    let scenario = SCENARIOS.iter().find(|of| of.name == name).expect("it is one of them");
    let size = match name {
        "one-of-n" => Size { pools: 4, backends: 64, ..size(1) },
        // Of ten backends a pool may reach all.
        "steady" => Size { pools: 40, backends: 20, ..size(1) },
        _ => size(1),
    };
    let report = scenario.run(size).expect("no machine panics");
    let lines: String = report.lines.iter().map(|line| format!("{line}\n")).collect();
    assert!(report.passes() && report.lines.len() > 2, "{name}\n{lines}");
    assert!(report.lines.iter().all(|line| line.measured.is_some()), "{name}\n{lines}");
    report
}

macro_rules! scenarios {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            assert_passes($name);
        })*

        #[test]
        fn every_scenario_has_a_test() {
            let names: BTreeSet<_> = SCENARIOS.iter().map(|of| of.name).collect();
            assert_eq!(names, BTreeSet::from([$($name),*]));
        }
    };
}

scenarios! {
    a_steady_fleet_spreads_evenly: "steady",
    a_dead_backend_is_left_alone_and_had_back_soon: "one-dies",
    half_a_fleet_carries_on: "half-die",
    a_fleet_that_returns_does_not_collapse_again: "all-die",
    a_rolling_restart_costs_each_connection_once: "rolling",
    one_healthy_backend_is_enough: "one-of-n",
    a_quiet_day_is_quiet: "quiet",
    overload_costs_only_those_who_are_too_many: "overload",
    callers_who_walk_off_leave_nothing_behind: "cancelling",
    a_flapping_backend_disturbs_no_other: "flapping",
}

#[test]
fn a_seed_decides_everything_and_the_log_of_the_first_pool_replays() {
    let scenario = SCENARIOS.iter().find(|of| of.name == "half-die").expect("it is one of them");
    let [one, again, other] = [1, 1, 2].map(|seed| scenario.run(size(seed)).expect("no machine panics"));
    assert_eq!((&one.log, one.events), (&again.log, again.events));
    assert_ne!(one.log, other.log);
    let replayed = replay(&one.log).unwrap_or_else(|error| panic!("{error}"));
    assert!(replayed.events > 1000, "{replayed:?}");
}
