//! What must come of it once the world has calmed down.

use std::fmt;
use std::str::FromStr;

use qorb_core::Machine as _;
use qorb_core::pool::{ClaimId, PoolMachine};

use super::model::ClaimModel;
use super::{Shadow, ensure};

/// A world that has calmed down comes to its end within so many events.
const PATIENCE: u64 = 1_000_000;

/// What a machine owes in a world that has calmed down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owed {
    /// Everybody is served, for everything works.
    ByAll,
    /// Everybody is served, for one backend works, and the others answer nothing.
    ByOne,
    /// Nothing is left, for it was shut down, and everything is answered.
    Nothing,
}

impl Owed {
    fn rule(self) -> &'static str {
        match self {
            Self::ByAll => "C9",
            Self::ByOne => "C11",
            Self::Nothing => "C10",
        }
    }
}

/// As a log says it.
impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the world is calm, and what it owes is {}", self.rule())
    }
}

impl FromStr for Owed {
    type Err = ();

    fn from_str(remark: &str) -> Result<Self, ()> {
        let all = [Self::ByAll, Self::ByOne, Self::Nothing];
        all.into_iter().find(|owed| owed.to_string() == remark).ok_or(())
    }
}

impl Shadow {
    /// The world calms down now.
    pub fn calms_down(&mut self, owed: Owed) {
        self.owed = Some(owed);
        self.calm_for = 0;
        (0..self.claims.len() as u32).for_each(|claim| self.is_owed(ClaimId(claim)));
    }

    /// Whether the world has been calm for so long that nothing is owed any longer.
    #[must_use]
    pub fn waited_enough(&self) -> bool {
        self.calm_for > PATIENCE
    }

    /// What has to be true once nothing more happens, or for long enough nothing else did.
    ///
    /// # Errors
    ///
    /// Says what the machine still owes.
    pub fn over(&self, machine: &PoolMachine) -> Result<(), String> {
        let goes_on = machine.deadline().is_some() && !self.waited_enough();
        match self.owed.filter(|_| !goes_on) {
            None => Ok(()),
            Some(owed @ (Owed::ByAll | Owed::ByOne)) => {
                let without = self.without();
                ensure(without == 0, || format!("{}: {without} wait for ever", owed.rule()))
            }
            Some(Owed::Nothing) => {
                let left = self.slots();
                ensure(left == 0 && self.stopped, || format!("C10: {left} slots are left in the end"))
            }
        }
    }

    /// Notes that a claim without a connection, which waits without end, is owed one.
    pub(super) fn is_owed(&mut self, claim: ClaimId) {
        let without = match self.claim(claim) {
            ClaimModel::Asking(ticket) | ClaimModel::Waiting(ticket) | ClaimModel::Revoked(ticket) => {
                Some(ticket)
            }
            ClaimModel::Free | ClaimModel::Granted(..) | ClaimModel::Acquiring => None,
        };
        if self.owed.is_some() && without.is_some_and(|ticket| ticket.deadline.is_never()) {
            self.endless.insert(claim);
        } else {
            self.endless.remove(&claim);
        }
    }

    pub(super) fn check_owed(&self, claim: ClaimId) -> Result<(), String> {
        let rule = self.owed.map_or("", Owed::rule);
        ensure(self.ended || !self.endless.contains(&claim), || {
            format!("{rule}: {claim:?} waited without end and got nothing")
        })
    }
}
