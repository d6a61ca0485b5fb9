//! How each server did in a round, and what the round comes to: from what was said and what was not. What the
//! machine says of that is compared, and never believed.

use std::net::SocketAddr;

use super::rules::seen_if;
use super::{LOOKUP, ResolverWorld, Sometimes, Step, ensure, server};

/// After so many steps of failing, while another server answers, what a server said lapses.
const LAPSES: u8 = 2;
/// So many datagrams may ask for the service.
const ATTEMPTS: u8 = 3;
/// From so many failures in a row on it is one.
const PROBED: u8 = 3;

/// What a server said of the service in the round under way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Heard {
    #[default]
    Nothing,
    Targets,
    Denial,
}

/// A server's part in rounds, the one under way or the latest.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Part {
    /// Questions it was asked in this round.
    pub(super) asked: u8,
    pub(super) heard: Heard,
    /// It said nothing, and will not.
    failed: bool,
    /// The number of the latest datagram that asks for the service.
    attempt: u8,
    /// That did not reach it: the next one comes when it would have come anyway.
    is_lost: bool,
    /// Rounds in a row in which it failed, as far as they count.
    failures: u8,
    /// For how many steps it has failed, as far as they count.
    failing: Option<u8>,
}

/// How many servers did how.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Tally {
    pub(super) positive: usize,
    pub(super) negative: usize,
    pub(super) failed: usize,
}

/// Servers, as bits, of which something holds or is said in one event.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Told {
    /// They fail, by what happened to their questions.
    fail: u8,
    /// They fail, by what the machine says.
    said_to_fail: u8,
    /// What they said lapses, by what the machine says.
    said_to_lapse: u8,
}

impl Part {
    /// The next round begins.
    pub(super) fn begin(&mut self) {
        *self = Self { failures: self.failures, failing: self.failing, ..Self::default() };
    }

    /// It is asked for the service once more.
    pub(super) fn attempt(&mut self, number: u8) {
        (self.attempt, self.is_lost) = (number, false);
    }

    /// It says something about the service.
    pub(super) fn says(&mut self, heard: Heard) {
        *self = Self { heard, failures: 0, failing: None, ..*self };
    }

    pub(super) fn ages(&mut self) {
        self.failing = self.failing.map(|steps| (steps + 1).min(LAPSES));
    }

    /// As a number. What is over does not matter any more.
    pub(super) fn digest(&self) -> u64 {
        let matters = self.heard == Heard::Nothing && !self.failed;
        let attempt = if matters { self.attempt << 1 | u8::from(self.is_lost) } else { 0 };
        let failing = self.failing.map_or(0, |steps| steps + 1);
        let all = [self.asked, self.heard as u8, self.failed.into(), attempt, self.failures, failing];
        all.into_iter().fold(0, |sum, part| sum << 8 | u64::from(part))
    }

    /// Whether it will be asked again though no question is open.
    fn is_asked_again(&self, age: u32) -> bool {
        let most = if self.failures >= PROBED { 1 } else { ATTEMPTS };
        self.is_lost && self.attempt < most && age < LOOKUP
    }
}

impl ResolverWorld {
    /// What the step does to the questions of the server that it is about.
    pub(super) fn part(&mut self, step: Step) {
        self.told = Told::default();
        match step {
            Step::Answer(query, saying) if saying != super::Saying::Foreign => {
                let server = self.socket(query).server;
                self.servers[server].part.is_lost = false;
            }
            Step::Failed(query) | Step::Closed(query) => {
                let socket = self.socket(query);
                self.servers[socket.server].part.is_lost = !socket.is_stream;
            }
            Step::Tick => self.servers.iter_mut().for_each(|server| server.part.ages()),
            Step::Answer(..) | Step::Stray | Step::Opened(_) | Step::Hint | Step::ShutDown => {}
        }
    }

    /// The machine says that this server fails.
    pub(super) fn is_said_to_fail(&mut self, address: SocketAddr) -> Result<(), String> {
        self.told.said_to_fail |= 1 << self.number(address)?;
        Ok(())
    }

    /// The machine says that what this server said lapses.
    pub(super) fn is_said_to_lapse(&mut self, address: SocketAddr) -> Result<(), String> {
        self.told.said_to_lapse |= 1 << self.number(address)?;
        Ok(())
    }

    pub(super) fn number(&self, address: SocketAddr) -> Result<usize, String> {
        let number = (0..self.count).find(|number| server(*number) == address);
        number.ok_or_else(|| "I18: a server nobody named".to_owned())
    }

    /// Those fail that have said nothing and are neither asked any more nor will be in this round.
    fn conclude(&mut self) {
        for number in 0..self.count {
            let is_open = self.open.iter().any(|socket| socket.server == number);
            let part = &mut self.servers[number].part;
            let is_silent = part.asked > 0 && part.heard == Heard::Nothing && !part.failed;
            if is_silent && !is_open && !part.is_asked_again(self.age) {
                (part.failed, part.failures) = (true, (part.failures + 1).min(PROBED));
                part.failing.get_or_insert(0);
                self.told.fail |= 1 << number;
            }
        }
    }

    /// The machine says what it had to say of the servers, and nothing else.
    pub(super) fn compare_told(&mut self) -> Result<(), String> {
        if self.asking && !self.ended {
            self.conclude();
        }
        let Told { fail, said_to_fail, said_to_lapse } = self.told;
        ensure(fail == said_to_fail, || format!("M3: {fail:b} fail, and {said_to_fail:b} are said to"))?;
        ensure(said_to_lapse == 0, || "M3: something lapses in the middle of a round".to_owned())
    }

    /// What the round comes to, now that it is over, which the machine said too. What a server said lapses once it
    /// failed for so long, where another one is positive.
    pub(super) fn tally(&mut self, said: Tally, seen: &mut Sometimes) -> Result<Tally, String> {
        self.conclude();
        let mut tally = Tally::default();
        for of in &self.servers[..self.count] {
            match of.part.heard {
                Heard::Targets => tally.positive += 1,
                Heard::Denial => tally.negative += 1,
                Heard::Nothing if of.part.failed => tally.failed += 1,
                Heard::Nothing => {
                    ensure(of.part.asked == 0, || format!("I11: the round ends before {of:?} answers"))?;
                }
            }
        }
        ensure(said == tally, || format!("M3: the round comes to {tally:?}, and is said to to {said:?}"))?;
        let mut lapsed = 0;
        for (number, of) in self.servers.iter_mut().enumerate() {
            if tally.positive > 0 && of.targets != 0 && of.part.failing == Some(LAPSES) {
                (of.targets, of.found) = (0, 0);
                lapsed |= 1 << number;
            }
        }
        seen_if(seen, lapsed != 0, "what a server said lapses");
        let said = std::mem::take(&mut self.told.said_to_lapse);
        ensure(lapsed == said, || format!("M3: what {lapsed:b} said lapses, and {said:b} is said to"))?;
        Ok(tally)
    }
}
