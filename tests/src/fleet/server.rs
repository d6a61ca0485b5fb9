//! A backend: it is there or not, and accepts so many connections a second.

use std::time::Duration;

use qorb_core::Timestamp;

/// How long connects wait to be accepted at most; one that would wait longer is dropped, and knocks again. It
/// is a backlog of 128 at 100 a second.
const BACKLOG: Duration = Duration::from_millis(1280);

/// What a backend that is down does with a connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Down {
    /// It is refused.
    Refuses,
    /// Nothing comes back.
    Hangs,
}

/// What becomes of a connect that arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Welcome {
    /// It is accepted at this time, by the program that runs now.
    Accepted(Timestamp),
    Refused,
    /// Nothing is heard of it.
    Lost,
    /// There was no room for it: it is sent once more.
    Dropped,
}

/// A backend.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Counts its lives: a connection belongs to one of them. Odd while it is up.
    life: u32,
    down: Down,
    /// Between two connects that it accepts.
    pace: Duration,
    /// When it may accept the next one.
    free_at: Timestamp,
    /// Connections that live.
    pub(crate) open: u32,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { life: 1, down: Down::Refuses, pace: Duration::ZERO, free_at: Timestamp::EPOCH, open: 0 }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life % 2 == 1
    }

    /// The life in which it is.
    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    /// Ends it and its connections; returns how many those were.
    pub(crate) fn die(&mut self, down: Down) -> u32 {
        self.down = down;
        self.life += u32::from(self.is_up());
        std::mem::take(&mut self.open)
    }

    /// Starts it again, with room for so many connects a second; 0 is no limit.
    pub(crate) fn come_back(&mut self, now: Timestamp, accepts: f64) {
        self.life += u32::from(!self.is_up());
        self.pace = if accepts > 0.0 { Duration::from_secs_f64(1.0 / accepts) } else { Duration::ZERO };
        self.free_at = now;
    }

    pub(crate) fn welcome(&mut self, now: Timestamp) -> Welcome {
        if !self.is_up() {
            return match self.down {
                Down::Refuses => Welcome::Refused,
                Down::Hangs => Welcome::Lost,
            };
        }
        let at = self.free_at.max(now);
        if at.since(now) >= BACKLOG {
            return Welcome::Dropped;
        }
        self.free_at = at.after(self.pace);
        Welcome::Accepted(at)
    }
}
