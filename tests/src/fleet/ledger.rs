//! What is counted while a fleet runs.

use std::collections::VecDeque;
use std::time::Duration;

use qorb_core::Timestamp;

/// The window in which waves of connects are measured.
const WINDOW: Duration = Duration::from_millis(100);

/// Everything that is counted, from the beginning on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Events that the machines handled.
    pub(crate) events: u64,
    /// Connects that began.
    pub(crate) dials: u64,
    /// Those that failed.
    pub(crate) failed_dials: u64,
    /// Working connections that a pool closed.
    pub(crate) closed: u64,
    /// Connections that ended with their backend.
    pub(crate) lost: u64,
    pub(crate) claims: u64,
    pub(crate) served: u64,
    pub(crate) denied: u64,
    /// Claims cancelled while they waited.
    pub(crate) cancelled: u64,
    /// Callers who will walk off.
    pub(crate) walking_off: u64,
    /// Claims that got a connection that was dead, or died in their hands.
    pub(crate) broken: u64,
    /// The longest that a claim which was served had waited.
    pub(crate) longest_wait: Duration,
    /// For how long connections were held, all together.
    pub(crate) held: Duration,
    pub(crate) samples: Vec<Sample>,
    pub(crate) watched: Watched,
}

/// The state of a fleet at one time, and what happened since the sample before.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Connections, over all backends.
    pub connections: u64,
    /// Those of the backend that has most.
    pub most: u32,
    /// Those of an average backend that is up.
    pub mean: f64,
    /// Claims that wait.
    pub waiting: u64,
    /// Connects that began, a second.
    pub dials: f64,
    /// Claims that were denied or got a dead connection, a second.
    pub failures: f64,
}

/// What is counted of one backend alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// Which.
    pub(crate) server: Option<u32>,
    /// Connects to it, by pool.
    pub(crate) dials: Vec<u32>,
    /// When each pool first connected to it.
    pub(crate) connected: Vec<Option<Timestamp>>,
    /// The most connects that began within one window, wherever that is laid.
    pub(crate) peak: usize,
    /// When those began that are in the window which ends now.
    window: VecDeque<Timestamp>,
}

impl Watched {
    /// Begins to watch a backend, whatever was watched before.
    pub(crate) fn new(server: u32, pools: usize) -> Self {
        Self { server: Some(server), dials: vec![0; pools], connected: vec![None; pools], ..Self::default() }
    }

    pub(crate) fn dialled(&mut self, pool: usize, now: Timestamp) {
        self.dials[pool] += 1;
        self.window.push_back(now);
        while self.window.front().is_some_and(|first| now.since(*first) >= WINDOW) {
            self.window.pop_front();
        }
        self.peak = self.peak.max(self.window.len());
    }

    pub(crate) fn connected(&mut self, pool: usize, now: Timestamp) {
        self.connected[pool].get_or_insert(now);
    }

    /// How many connects began for each pool that tried at all.
    pub(crate) fn dials_of_those_who_tried(&self) -> f64 {
        let tried = self.dials.iter().filter(|dials| **dials > 0);
        let (count, sum) = tried.fold((0_u32, 0_u32), |(count, sum), dials| (count + 1, sum + dials));
        f64::from(sum) / f64::from(count.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found_wherever_its_window_lies() {
        let mut watched = Watched::new(0, 1);
        let millis = [0, 60, 90, 120, 150, 250, 260];
        millis.into_iter().for_each(|at| watched.dialled(0, Timestamp::from_millis(at)));
        // From 60 to 150; windows side by side from 0 on hold three.
        assert_eq!((watched.peak, watched.dials[0]), (4, 7));
    }
}
