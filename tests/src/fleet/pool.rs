//! A pool machine as its embedder sees it: its slots, its callers and its alarm.

use std::time::Duration;

use qorb_core::Timestamp;
use qorb_core::dice::Dice;
use qorb_core::pool::{Beginning, ClaimId, Policy, PoolMachine, SlotId};
use qorb_core::record::Recorded;

/// A pool of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) machine: PoolMachine,
    pub(crate) beginning: Beginning,
    /// When its next alarm rings.
    pub(crate) alarm: Timestamp,
    /// Decides about its callers.
    pub(crate) dice: Dice,
    berths: Vec<Berth>,
    seats: Vec<Option<Seat>>,
    free: Vec<ClaimId>,
}

/// What runs for a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Running {
    #[default]
    Nothing,
    Connect,
    Check,
}

/// A slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Berth {
    pub(crate) server: u32,
    /// The life of the server that it is connected to; 0 where it is not.
    pub(crate) life: u32,
    pub(crate) running: Running,
    /// Counts its operations: what comes of an older one is of no use.
    pub(crate) run: u32,
}

/// A claim that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) since: Timestamp,
    pub(crate) hold: Duration,
    /// When its caller walks off, with a connection or without.
    pub(crate) leaves: Timestamp,
    /// Tells it from others of the same number.
    pub(crate) number: u64,
}

impl Pool {
    pub(crate) fn new(policy: Policy, dice: &Dice) -> Self {
        let beginning = Beginning::New { policy, dice: dice.fork(1), at: Timestamp::EPOCH };
        Self {
            machine: PoolMachine::begin(beginning.clone()).expect("a scenario's policy is valid"),
            beginning,
            alarm: Timestamp::NEVER,
            dice: dice.fork(2),
            berths: Vec::new(),
            seats: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn berth(&mut self, slot: SlotId) -> &mut Berth {
        let index = slot.0 as usize;
        if index >= self.berths.len() {
            self.berths.resize(index + 1, Berth::default());
        }
        &mut self.berths[index]
    }

    /// Starts an operation of a slot, or with [`Running::Nothing`] gives up the one that runs.
    pub(crate) fn begin(&mut self, slot: SlotId, running: Running) -> u32 {
        let berth = self.berth(slot);
        berth.running = running;
        berth.run += 1;
        berth.run
    }

    /// Whether this operation is the one that runs; it ends with that.
    pub(crate) fn end(&mut self, slot: SlotId, run: u32) -> bool {
        let berth = self.berth(slot);
        let current = berth.run == run && berth.running != Running::Nothing;
        if current {
            berth.running = Running::Nothing;
        }
        current
    }

    pub(crate) fn sit_down(&mut self, seat: Seat) -> ClaimId {
        let claim = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            ClaimId(u32::try_from(self.seats.len() - 1).expect("few claims"))
        });
        self.seats[claim.0 as usize] = Some(seat);
        claim
    }

    /// The claim that waits there.
    pub(crate) fn seat(&self, claim: ClaimId) -> Option<Seat> {
        self.seats[claim.0 as usize]
    }

    /// Frees a seat.
    pub(crate) fn stand_up(&mut self, claim: ClaimId) -> Seat {
        self.free.push(claim);
        self.seats[claim.0 as usize].take().expect("C5: a claim is answered once")
    }

    /// A span by chance, this long on average, as between events that do not know of each other.
    pub(crate) fn draw(&mut self, mean: Duration) -> Duration {
        let chance = (self.dice.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        mean.mul_f64(-(1.0 - chance).ln())
    }
}
