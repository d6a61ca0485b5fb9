//! `sim explore`: every interleaving of a small world.

use std::error::Error;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use qorb_examples::options::say;
use qorb_tests::explore::{Progress, REPEATED, Sometimes, Violation};
use qorb_tests::pool_world::{self, Seen, Size};
use qorb_tests::resolver_world;
use serde_json::json;

use super::{Outcome, keep, progress};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Which machine
    #[arg(long, value_enum, default_value = "pool")]
    machine: Explored,
    /// How many servers a resolver has
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    servers: u8,
    /// How many backends there are
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=4))]
    backends: u16,
    /// How many slots the pool may have
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    slots: u8,
    /// How many slots each backend may have: as many as it takes for all slots, if nothing is said
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=4))]
    slots_of_one: Option<u8>,
    /// How many claims may be outstanding
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    claims: u8,
    /// How many claims may wait
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    max_waiting: u8,
    /// How many idle connections the pool wants
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=4))]
    spares: u8,
    /// How long a connect may take, in steps of time; where others were not dialled yet, a claim waits for one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    connect_timeout: u8,
    /// How often `on_acquire` may fail for one claim
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    tries: u8,
    /// This kind happens too: a pool does without tiers and moves unless asked, and one of more than two slots
    /// or claims also without membership, acquire, deadlines and hasty, so that all of it can be walked through;
    /// of more than two slots the numbers are not told apart, and one order of their timers stands for all
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    with: Vec<Kind>,
    /// Nothing of this kind happens
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    without: Vec<Kind>,
    /// Take every step of a pool twice, and with a clock that went back; otherwise it is one in 16
    #[arg(long)]
    twice: bool,
    /// Stop after the layer in which so many states are known
    #[arg(long, default_value_t = 100_000_000, value_parser = at_least_one)]
    limit: usize,
    /// Print which state of a slot leads to which
    #[arg(long)]
    table: bool,
    /// Where the shortest way to a violation is written
    #[arg(long, value_name = "FILE", default_value = "explore-violation.txt")]
    transcript: PathBuf,
}

/// The machines that can be explored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Explored {
    Pool,
    Resolver,
}

/// What a world may do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    /// A pool's set of backends changes
    Membership,
    /// A pool's backends are a tier each, whose order changes
    Tiers,
    /// A pool's first backend moves to another address and back
    Moves,
    /// A pool's `on_acquire` pends and fails
    Acquire,
    /// The machine is shut down
    Shutdown,
    /// Claims give up waiting
    Deadlines,
    /// Claims are now or never
    Hasty,
    /// Answers to a resolver lack addresses
    Bare,
    /// They deny that there is anything
    Denials,
    /// They are errors, or cannot be read
    Errors,
    /// They are cut, and asked for on a stream
    Cut,
    /// A resolver is asked to hurry
    Hints,
}

/// What a pool does without unless asked.
const RARE: [Kind; 2] = [Kind::Tiers, Kind::Moves];
/// What a pool of more than two slots or claims does without besides.
const SMALL: [Kind; 4] = [Kind::Membership, Kind::Acquire, Kind::Deadlines, Kind::Hasty];

/// What came of it.
struct Found {
    far: Progress,
    complete: bool,
    never: Vec<&'static str>,
    /// What never happened though it has to in such a world, where that is known.
    owed: Vec<&'static str>,
    violation: Option<Violation>,
    table: Vec<String>,
    /// What did not happen because nobody asked for it, or somebody asked that it does not.
    without: Vec<Kind>,
}

impl Kind {
    /// Whether there is any of it in the world of this machine.
    fn is_of(self, machine: Explored) -> bool {
        match self {
            Self::Membership | Self::Tiers | Self::Moves | Self::Acquire | Self::Deadlines | Self::Hasty => {
                machine == Explored::Pool
            }
            Self::Bare | Self::Denials | Self::Errors | Self::Cut | Self::Hints => {
                machine == Explored::Resolver
            }
            Self::Shutdown => true,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let mut chosen = arguments.with.iter().chain(&arguments.without);
    if let Some(kind) = chosen.find(|kind| !kind.is_of(arguments.machine)) {
        let (kind, machine) = (name(*kind), name(arguments.machine));
        return Err(format!("nothing of the kind {kind} ever happens to a {machine}").into());
    }
    if let Some(kind) = arguments.with.iter().find(|kind| arguments.without.contains(kind)) {
        return Err(format!("{} is asked for, and asked not to happen", name(*kind)).into());
    }
    let found = match arguments.machine {
        Explored::Pool => of_pool(arguments),
        Explored::Resolver => of_resolver(arguments),
    };
    progress::clear();
    tell(&found, arguments)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it must be a number above 0".to_owned())
}

/// As the command line calls it.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |of| of.get_name().to_owned())
}

fn tell(found: &Found, arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let mut transcript = None;
    if let Some(violation) = &found.violation {
        let told = violation.to_string();
        say(&told)?;
        transcript = keep(&arguments.transcript, &told);
    }
    if arguments.table {
        for row in &found.table {
            say(row)?;
        }
    }
    for name in &found.owed {
        say(&format!("never happened, though every such world has it: {name}"))?;
    }
    let far = found.far;
    let seconds = far.took.as_secs_f64();
    let summary = json!({
        "states": far.states,
        "transitions": far.transitions,
        "compared": far.compared,
        "depth": far.depth,
        "complete": found.complete,
        "without": found.without.iter().map(|kind| name(*kind)).collect::<Vec<_>>(),
        "never": found.never,
        "owed": found.owed,
        "seconds": seconds,
        "events_per_second": (far.transitions as f64 / seconds).round(),
        "violations": u32::from(found.violation.is_some()),
        "transcript": transcript,
    });
    Ok(Outcome { holds: found.violation.is_none() && found.owed.is_empty(), summary })
}

fn of_pool(arguments: &Arguments) -> Found {
    let (slots, claims) = (usize::from(arguments.slots), usize::from(arguments.claims));
    let slots_of_one = arguments.slots_of_one.map_or(slots.div_ceil(arguments.backends.into()), usize::from);
    let (backends, tries) = (arguments.backends, arguments.tries);
    let (numbered, repeated) = (slots <= 2, if arguments.twice { 1 } else { REPEATED });
    let (max_waiting, spares) = (arguments.max_waiting.into(), arguments.spares.into());
    let connect_timeout = arguments.connect_timeout;
    let size = Size {
        backends,
        slots,
        slots_of_one,
        claims,
        max_waiting,
        spares,
        connect_timeout,
        tries,
        numbered,
        repeated,
    };
    let is_large = slots.max(claims) > 2;
    let with = |kind| {
        let usual = !(RARE.contains(&kind) || is_large && SMALL.contains(&kind));
        (usual || arguments.with.contains(&kind)) && !arguments.without.contains(&kind)
    };
    let freedom = pool_world::Freedom {
        membership: with(Kind::Membership),
        acquire: with(Kind::Acquire),
        shutdown: with(Kind::Shutdown),
        deadlines: with(Kind::Deadlines),
        hasty: with(Kind::Hasty),
        tiers: with(Kind::Tiers),
        moves: with(Kind::Moves),
    };
    let show = |far: &Progress| progress::show(&far.to_string());
    // Whoever chose the kinds knows what has to happen among them.
    let is_usual = arguments.with.is_empty() && arguments.without.is_empty();
    let report = pool_world::walk(size, freedom, arguments.limit, Seen::default(), show);
    Found {
        far: report.progress,
        complete: report.complete,
        never: report.seen.missing(),
        owed: if report.complete && is_usual { report.seen.owed(size, freedom) } else { Vec::new() },
        violation: report.violation,
        table: report.seen.table(),
        without: kinds(Explored::Pool).filter(|kind| !with(*kind)).collect(),
    }
}

fn of_resolver(arguments: &Arguments) -> Found {
    let with = |kind| !arguments.without.contains(&kind);
    let freedom = resolver_world::Freedom {
        bare: with(Kind::Bare),
        denials: with(Kind::Denials),
        errors: with(Kind::Errors),
        cut: with(Kind::Cut),
        hints: with(Kind::Hints),
        shutdown: with(Kind::Shutdown),
    };
    let show = |far: &Progress| progress::show(&far.to_string());
    let seen = Sometimes::new(resolver_world::SOMETIMES);
    let is_usual = arguments.servers == 2 && arguments.without.is_empty();
    let report = resolver_world::walk(arguments.servers.into(), freedom, arguments.limit, seen, show);
    Found {
        far: report.progress,
        complete: report.complete,
        never: report.seen.missing(),
        owed: if report.complete && is_usual { report.seen.missing() } else { Vec::new() },
        violation: report.violation,
        table: Vec::new(),
        without: kinds(Explored::Resolver).filter(|kind| !with(*kind)).collect(),
    }
}

/// All that there is for this machine.
fn kinds(machine: Explored) -> impl Iterator<Item = Kind> {
    Kind::value_variants().iter().copied().filter(move |kind| kind.is_of(machine))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;
    use crate::{Arguments as Program, Command};

    #[test]
    fn a_world_that_lacks_what_every_such_one_has_does_not_hold() {
        let far = Progress {
            states: 1,
            transitions: 1,
            compared: 0,
            depth: 1,
            frontier: 0,
            took: Duration::from_secs(1),
        };
        let found = |owed: &[&'static str]| Found {
            far,
            complete: true,
            never: owed.to_vec(),
            owed: owed.to_vec(),
            violation: None,
            table: Vec::new(),
            without: Vec::new(),
        };
        let Command::Explore(arguments) = Program::parse_from(["sim", "explore"]).command else {
            panic!("another command")
        };
        assert!(tell(&found(&[]), &arguments).expect("it can be told").holds);
        let lacking = tell(&found(&["the queue is full"]), &arguments).expect("it can be told");
        assert!(!lacking.holds, "{}", lacking.summary);
        assert_eq!(lacking.summary["owed"], json!(["the queue is full"]));
    }
}
