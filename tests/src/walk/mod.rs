//! Random walks: of the pool machine through large worlds, and of the driver on the simulated runtime.
//!
//! - `mod`: [`walk`], one world from its beginning to its end, and what is found in it.
//! - `chances`: what is drawn for a world before it begins.
//! - `world`: the machine, its backends, its claimers and the clock.
//! - [`shadow`]: the contract, checked after every event on what an embedder can know.
//! - `sights`: what was met, for a walk that meets nothing finds nothing.
//! - `again`: [`again`], a log that happens again before a shadow.
//! - `shorten`: a walk that goes wrong is made as short as it can be.
//! - `driver`: [`walk_driver`], one world of the driver; `lies`: its DNS servers.

mod again;
mod chances;
mod driver;
mod lies;
pub mod shadow;
mod shorten;
mod sights;
mod world;

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use qorb_core::Timestamp;
use qorb_core::dice::Dice;
use qorb_core::pool::{Beginning, Event};
use qorb_core::record::Recorder;

pub use self::again::{Seen, again};
use self::chances::Chances;
pub use self::driver::{Driven, retell, walk_driver};
pub(crate) use self::shorten::is_same;
use self::shorten::{cut, shortest};
pub use self::sights::{Sight, Sights};
use self::world::{Stage, Told, World};
use crate::panics::contained;

/// Claims that must be served once the world has calmed down.
const LAST: usize = 20;

/// What came of a walk in which nothing was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Walked {
    /// What the machine was told.
    pub events: u64,
    /// Claims that it granted.
    pub granted: u64,
    /// Claims that waited when the world calmed down, or came after that, and were served.
    pub served: u64,
    /// What was met.
    pub sights: Sights,
}

impl AddAssign for Walked {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.granted += other.granted;
        self.served += other.served;
        self.sights += other.sights;
    }
}

/// A rule that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The world.
    pub seed: u64,
    /// What does not hold, beginning with the rule's number.
    pub rule: String,
    /// All that happened, as a log that replays.
    pub log: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.rule)
    }
}

/// Walks through the world of this seed.
///
/// The shadow checks the contract after every event, on what the event touched. Everything is recounted too, which
/// looks at every slot, backend and claim: after every event in the smallest worlds, and after at most 200 in
/// the others. The log of what goes wrong is recounted after every event, and ends with the one that was wrong.
/// In the end the world behaves, or one backend does and the others answer
/// nothing, and everybody must be served; then it is shut down, and nothing may be left.
///
/// # Errors
///
/// Says what did not hold, with a log as short as the world before the calm can be made.
pub fn walk(seed: u64) -> Result<Walked, Box<Violation>> {
    let rule = match attempt(seed, u64::MAX, &mut None) {
        Ok(walked) => return Ok(walked),
        Err(rule) => rule,
    };
    let storm = Chances::draw(&mut world_dice(seed)).events;
    let (storm, rule) = shortest(storm, rule, |storm| attempt(seed, storm, &mut None).err());
    let mut told = Some(Recorder::new(beginning(seed)).expect("it began so before"));
    // It goes wrong again, which is what is to be told.
    let _ = attempt(seed, storm, &mut told);
    let log = told.map(|recorder| recorder.log()).unwrap_or_default();
    let (log, rule) = cut(log, rule);
    Err(Box::new(Violation { seed, rule, log }))
}

/// Walks once; the world calms down after so many events, if not before.
fn attempt(seed: u64, storm: u64, told: &mut Told) -> Result<Walked, String> {
    contained(|| through(seed, storm, told))
}

fn through(seed: u64, storm: u64, told: &mut Told) -> Result<Walked, String> {
    let mut dice = world_dice(seed);
    let chances = Chances::draw(&mut dice);
    let storm = storm.min(chances.events);
    let (only_one, ends_early) = (chances.only_one_heals, chances.ends_early);
    // Where a check may take for ever, one that is never answered keeps its slot, as its owner wished.
    let bounded = chances.policy.set_config.health_check_timeout < Duration::MAX;
    let only = (only_one && bounded).then(|| dice.below(u64::from(chances.backends)) as u16);
    let mut world = World::new(chances, beginning(seed), dice, told);
    while world.events < storm && world.advance()? {}
    let mut served = 0;
    if !ends_early {
        world.calm_down(only)?;
        served = everybody_is_served(&mut world)?;
    }
    world.audit()?;
    world.happen(Event::ShutDown)?;
    world.calm_down(None)?;
    while !world.shadow.waited_enough() && world.advance()? {}
    world.audit()?;
    world.shadow.over(&world.machine)?;
    world.sights.meet_if(ends_early, Sight::EndedEarly);
    world.sights.meet_if(!ends_early && only.is_some(), Sight::HealedForOne);
    Ok(Walked { events: world.events, granted: world.granted, served, sights: world.sights })
}

/// A world that behaves serves everybody who waits, and some who come (C9, C11).
fn everybody_is_served(world: &mut World<'_>) -> Result<u64, String> {
    let most = world.chances.policy.max_waiting.saturating_sub(world.shadow.without()).min(LAST);
    let away = (0..).zip(&world.claimers).filter(|(_, of)| of.stage == Stage::Away);
    let last: Vec<u32> = away.map(|(claimer, _)| claimer).take(most).collect();
    let before = world.claimers.iter().map(|of| u64::from(of.served)).sum::<u64>();
    for claimer in last {
        world.ask(claimer, Timestamp::NEVER)?;
    }
    let busy = |world: &World<'_>| world.claimers.iter().any(|of| of.stage != Stage::Away);
    while busy(world) {
        if world.shadow.waited_enough() || !world.advance()? {
            world.shadow.over(&world.machine)?;
            return Err("embedder: a claimer is not done and does not wait".to_owned());
        }
    }
    Ok(world.claimers.iter().map(|of| u64::from(of.served)).sum::<u64>() - before)
}

fn world_dice(seed: u64) -> Dice {
    Dice::Seeded(seed).fork(1)
}

fn beginning(seed: u64) -> Beginning {
    let policy = Chances::draw(&mut world_dice(seed)).policy;
    Beginning::New { policy, dice: Dice::Seeded(seed).fork(2), at: Timestamp::EPOCH }
}
