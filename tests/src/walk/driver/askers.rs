//! Claims that are looked after by hand, and the order in which they are granted (C12); and those of tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use qorb_core::dice::Dice;
use qorb_driver::{Claim, ClaimError, Handle};

use crate::sim::hand::Hand;
use crate::sim::script::{Script, SimPool};
use crate::sim::{Sim, World};

/// Longer than any walk is.
const LONG: Duration = Duration::from_secs(1 << 30);

/// Everybody who asked by hand and has no answer in hand.
#[derive(Default)]
pub(super) struct Askers<'pool> {
    all: Vec<Asker<'pool>>,
    /// How many were polled for the first time.
    turns: u64,
    /// Who was granted in this step and looked after at the same time.
    served: Option<u64>,
    /// How often somebody was answered while another one waited.
    pub(super) compared: u64,
}

struct Asker<'pool> {
    hand: Hand<Claim<'pool, Script, Sim>>,
    /// When it was looked after last, and how often it had been woken before that.
    looked: Option<Duration>,
    woken: usize,
    /// Its place in the order of first polls, which is that of arrivals.
    turn: u64,
    /// At the end of the step before this one it waited. In a step in which it is looked after it may queue
    /// anew, so that nobody knows who waited at that moment: then this is not so.
    waits: bool,
    /// Who waited before it asked, and still did after it had been answered.
    passed: Option<u64>,
}

/// What came of looking after somebody.
pub(super) struct Look {
    /// For how long nobody had done so.
    pub(super) away: Duration,
    pub(super) answer: Poll<Result<Handle<Script, Sim>, ClaimError>>,
}

impl Asker<'_> {
    /// Whether it has waited since it was looked after last: neither granted nor denied anything, both of
    /// which wake it.
    fn is_unanswered(&self) -> bool {
        self.looked.is_some() && self.is_at("waiting") && self.hand.woken() == self.woken
    }

    /// Whether it has got as far as this, by its own account.
    fn is_at(&self, phase: &str) -> bool {
        format!("{:?}", self.hand.future()).contains(&format!("phase: {phase:?}"))
    }
}

impl<'pool> Askers<'pool> {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whoever came last.
    pub(super) fn newest(&self) -> usize {
        self.all.len() - 1
    }

    /// Anybody.
    pub(super) fn anybody(&self, dice: &mut Dice) -> usize {
        dice.below(self.all.len() as u64) as usize
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Somebody comes and does not ask yet.
    pub(super) fn come(&mut self, claim: Claim<'pool, Script, Sim>) {
        let hand = Hand::new(claim);
        self.all.push(Asker { hand, looked: None, woken: 0, turn: 0, waits: false, passed: None });
    }

    /// Somebody gives up; says whether that one had asked.
    pub(super) fn abandon(&mut self, dice: &mut Dice) -> bool {
        let index = self.anybody(dice);
        let asker = self.all.swap_remove(index);
        asker.looked.is_some()
    }

    /// Looks after the one of this number.
    pub(super) fn look(&mut self, index: usize, now: Duration) -> Result<Look, String> {
        let asker = &mut self.all[index];
        // What it is told now was decided now, but for what it was woken for before.
        let is_news = asker.looked.is_none() || (asker.waits && asker.is_unanswered());
        let away = asker.looked.replace(now).map_or(Duration::ZERO, |looked| now - looked);
        if asker.turn == 0 {
            self.turns += 1;
            asker.turn = self.turns;
        }
        (asker.woken, asker.waits) = (asker.hand.woken(), false);
        let answer = asker.hand.poll();
        let turn = asker.turn;
        let is_denied = matches!(answer, Poll::Ready(Err(_)));
        if let Some(first) = asker.passed.filter(|_| !is_denied) {
            return Err(overtakes(turn, first));
        }
        let is_granted = matches!(answer, Poll::Ready(Ok(_))) || asker.is_at("acquiring");
        self.served = (is_news && is_granted).then_some(turn);
        if answer.is_ready() {
            drop(self.all.swap_remove(index));
        }
        Ok(Look { away, answer })
    }

    /// After a step: whoever was granted something in it asked before everybody who waited all the time.
    pub(super) fn judge(&mut self) -> Result<(), String> {
        let waited = self.all.iter().filter(|asker| asker.waits && asker.is_unanswered());
        let first = waited.map(|asker| asker.turn).min();
        for asker in &mut self.all {
            let waits = asker.is_unanswered();
            if asker.waits && !waits {
                // Whether it was granted or denied is seen when it is looked after.
                asker.passed = first.filter(|first| *first < asker.turn);
                self.compared += u64::from(first.is_some());
            }
            asker.waits = waits;
        }
        let Some((turn, first)) = self.served.take().zip(first) else { return Ok(()) };
        self.compared += 1;
        if first < turn { Err(overtakes(turn, first)) } else { Ok(()) }
    }

    /// Everybody gives up.
    pub(super) fn leave(&mut self) -> Result<(), String> {
        super::each_dropped(&mut self.all)
    }

    /// Whether everybody has an answer.
    pub(super) fn are_answered(&mut self) -> bool {
        self.all.iter_mut().all(|asker| asker.hand.poll().is_ready())
    }
}

fn overtakes(turn: u64, first: u64) -> String {
    format!("C12: the asker who came as number {turn} overtakes number {first}, who waits")
}

/// A claim of any kind. What waits until an instant of the system's clock waits until one that is over or
/// never comes, so that a seed is a world.
#[allow(clippy::disallowed_methods, reason = "the claimers' clock is the system's")]
pub(super) fn claim<'pool>(pool: &'pool SimPool, dice: &mut Dice) -> Claim<'pool, Script, Sim> {
    match dice.below(10) {
        0..4 => pool.claim(),
        4..8 => pool.claim_within(super::span(dice, 3_000)),
        8 => pool.try_claim(),
        _ => pool.claim_by(Instant::now() + [Duration::ZERO, LONG][dice.below(2) as usize]),
    }
}

/// A well-behaved claimer: claims, holds for a while, returns.
pub(super) fn claim_in_task(world: &World, pool: &SimPool, answered: &Arc<AtomicUsize>, hold: Duration) {
    let (pool, answered, sim) = (pool.clone(), Arc::clone(answered), world.sim().clone());
    world.spawn(async move {
        let result = pool.claim_within(Duration::from_secs(20)).await;
        if result.is_ok() {
            sim.sleep(hold).await;
        }
        drop(result);
        answered.fetch_add(1, Ordering::Relaxed);
    });
}
