//! The clock of a fleet, and the one queue of all that will happen in it. `look` is what is seen of it from
//! outside.

mod look;

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::time::Duration;

use qorb_core::dice::Dice;
use qorb_core::pool::{Action, ClaimId, Event, Failure, Policy, Return, SlotId, SlotKind};
use qorb_core::{Backend, Machine, Timestamp};

use super::ledger::{Ledger, Watched};
use super::pool::{Pool, Running, Seat};
use super::server::{Down, Server, Welcome};
use super::{Load, Size};

/// How long anything takes on the way to a backend; back again as long.
const WAY: Duration = Duration::from_micros(500);
/// Within this time all pools have started.
const START: Duration = Duration::from_secs(10);
/// After this time a connect that was dropped is sent again, and then after twice that, and so on.
const AGAIN: Duration = Duration::from_secs(1);
/// How many samples a chart is made of, about.
const SAMPLES: u32 = 600;

/// A fleet of pools and backends.
pub(crate) struct Fleet {
    pub(crate) now: Timestamp,
    pub(crate) ledger: Ledger,
    pub(crate) pools: Vec<Pool>,
    size: Size,
    servers: Vec<Server>,
    backends: Vec<Backend>,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    load: Load,
    /// Counts the loads: callers of an older one do not come any more.
    loads: u32,
    out: Vec<Action>,
    follow: VecDeque<Event>,
    /// All that was told to the pool whose log is kept.
    told: Vec<(Timestamp, Event)>,
    sampled: Ledger,
    sample_every: Duration,
}

/// Something that will happen to a pool.
#[derive(Debug)]
struct Entry {
    at: Timestamp,
    sequence: u64,
    pool: u32,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Alarm,
    /// Its resolver finds all backends, perhaps without one.
    Publish {
        without: Option<u32>,
    },
    /// A connect arrives at its backend.
    Knock {
        slot: SlotId,
        run: u32,
        server: u32,
        attempt: u32,
    },
    /// A connect ends; well, if the backend still lives that life.
    Connected {
        slot: SlotId,
        run: u32,
        life: u32,
    },
    Checked {
        slot: SlotId,
        run: u32,
    },
    Call {
        load: u32,
    },
    Return(SlotId),
    Cancel {
        claim: ClaimId,
        number: u64,
    },
    /// The whole fleet is looked at.
    Sample,
}

impl Fleet {
    /// Pools with this policy that start one after the other.
    pub(crate) fn new(size: Size, policy: &Policy) -> Self {
        let dice = Dice::Seeded(size.seed);
        let pools = (0..size.pools as u64).map(|number| Pool::new(policy.clone(), &dice.fork(number)));
        let ports = 1..=u16::try_from(size.backends).expect("fewer than 60 000 backends");
        let backend = |port| Backend::new(format!("b{port}"), ([192, 0, 2, 1], port).into());
        let mut fleet = Self {
            now: Timestamp::EPOCH,
            ledger: Ledger::default(),
            pools: pools.collect(),
            size,
            servers: vec![Server::new(); size.backends],
            backends: ports.map(backend).collect(),
            queue: BinaryHeap::new(),
            sequence: 0,
            load: Load::None,
            loads: 0,
            out: Vec::new(),
            follow: VecDeque::new(),
            told: Vec::new(),
            sampled: Ledger::default(),
            sample_every: (size.span / SAMPLES).max(Duration::from_millis(100)),
        };
        for pool in 0..size.pools {
            let after = fleet.pools[pool].dice.up_to(START);
            fleet.push(pool, fleet.now.after(after), What::Publish { without: None });
        }
        fleet.push(0, fleet.now, What::Sample);
        fleet
    }

    /// Callers come like this from now on.
    pub(crate) fn call(&mut self, load: Load) {
        self.load = load;
        self.loads += 1;
        for pool in 0..self.pools.len() {
            let first = match load {
                Load::None => continue,
                Load::Open { gap, .. } => self.pools[pool].draw(gap),
                Load::Closed { hold } => self.pools[pool].dice.up_to(hold),
            };
            self.push(pool, self.now.after(first), What::Call { load: self.loads });
        }
    }

    /// Lets this much time pass.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let until = self.now.after(span);
        while let Some(Reverse(next)) = self.queue.peek()
            && next.at <= until
        {
            let Reverse(Entry { at, pool, what, .. }) = self.queue.pop().expect("just seen");
            self.now = at;
            self.happen(pool as usize, what);
        }
        self.now = until;
    }

    /// These backends end, and their connections with them.
    pub(crate) fn kill(&mut self, servers: impl IntoIterator<Item = u32>, down: Down) {
        for server in servers {
            self.ledger.lost += u64::from(self.servers[server as usize].die(down));
        }
    }

    /// These backends are back, with room for so many connects a second each; 0 is no limit.
    pub(crate) fn revive(&mut self, servers: impl IntoIterator<Item = u32>, accepts: f64) {
        for server in servers {
            self.servers[server as usize].come_back(self.now, accepts);
        }
    }

    /// Each pool's resolver finds all backends, perhaps without one, within this time.
    pub(crate) fn publish(&mut self, without: Option<u32>, within: Duration) {
        for pool in 0..self.pools.len() {
            // Each pool is as late as the last time, so that its sets are as far apart as those published.
            let late = within.mul_f64(pool as f64 / self.pools.len() as f64);
            self.push(pool, self.now.after(late), What::Publish { without });
        }
    }

    /// Counts what happens to this backend from now on.
    pub(crate) fn watch(&mut self, server: u32) {
        self.ledger.watched = Watched::new(server, self.pools.len());
    }

    fn push(&mut self, pool: usize, at: Timestamp, what: What) {
        self.sequence += 1;
        let pool = u32::try_from(pool).expect("few pools");
        self.queue.push(Reverse(Entry { at, sequence: self.sequence, pool, what }));
    }

    fn happen(&mut self, pool: usize, what: What) {
        match what {
            What::Alarm => self.ring(pool),
            What::Publish { without } => {
                let numbered = (0..).zip(&self.backends);
                let there = numbered.filter(|(number, _)| Some(*number) != without);
                let set = there.map(|(_, backend)| backend.clone()).collect();
                self.tell(pool, Event::Backends(set));
            }
            What::Knock { slot, run, server, attempt } => self.knock(pool, slot, run, server, attempt),
            What::Connected { slot, run, life } => self.connected(pool, slot, run, life),
            What::Checked { slot, run } => {
                if self.pools[pool].end(slot, run) {
                    let result = if self.lives(pool, slot) { Ok(()) } else { Err(Failure::Error) };
                    self.tell(pool, Event::Checked(slot, result));
                }
            }
            What::Call { load } => {
                if load == self.loads {
                    self.come(pool);
                }
            }
            What::Return(slot) => {
                let intact = self.lives(pool, slot);
                self.ledger.broken += u64::from(!intact);
                let how = if intact { Return::Intact } else { Return::Broken };
                self.tell(pool, Event::Returned(slot, how));
                if matches!(self.load, Load::Closed { .. }) {
                    self.come(pool);
                }
            }
            What::Cancel { claim, number } => self.cancel(pool, claim, number),
            What::Sample => self.sample(),
        }
    }

    fn ring(&mut self, pool: usize) {
        if self.pools[pool].alarm == self.now {
            self.pools[pool].alarm = Timestamp::NEVER;
        }
        if self.pools[pool].machine.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.tell(pool, Event::Tick);
        } else {
            self.aim(pool);
        }
    }

    fn knock(&mut self, pool: usize, slot: SlotId, run: u32, to: u32, attempt: u32) {
        // Its slot may have begun something else by now, with another backend.
        let given_up = self.pools[pool].berth(slot).run != run;
        // A packet under way arrives all the same, and takes what room there is; but it is not sent again.
        if given_up && attempt > 0 {
            return;
        }
        let server = &mut self.servers[to as usize];
        match server.welcome(self.now) {
            Welcome::Accepted(at) => {
                let life = server.life();
                self.push(pool, at.after(WAY), What::Connected { slot, run, life });
            }
            Welcome::Refused => {
                self.push(pool, self.now.after(WAY), What::Connected { slot, run, life: 0 });
            }
            Welcome::Lost => {}
            Welcome::Dropped => {
                let after = AGAIN.saturating_mul(1 << attempt.min(16));
                self.push(
                    pool,
                    self.now.after(after),
                    What::Knock { slot, run, server: to, attempt: attempt + 1 },
                );
            }
        }
    }

    fn connected(&mut self, pool: usize, slot: SlotId, run: u32, life: u32) {
        if !self.pools[pool].end(slot, run) {
            return;
        }
        let berth = self.pools[pool].berth(slot);
        let server = &mut self.servers[berth.server as usize];
        let result = if server.is_up() && server.life() == life {
            berth.life = life;
            server.open += 1;
            if self.ledger.watched.server == Some(berth.server) {
                self.ledger.watched.connected(pool, self.now);
            }
            Ok(())
        } else {
            self.ledger.failed_dials += 1;
            Err(Failure::Error)
        };
        self.tell(pool, Event::Connected(slot, result));
    }

    /// A caller comes, and perhaps the next one later.
    fn come(&mut self, at: usize) {
        let pool = &mut self.pools[at];
        let (hold, leaves) = match self.load {
            Load::None => return,
            Load::Closed { hold } => (hold, Timestamp::NEVER),
            Load::Open { gap, hold, cancelling } => {
                let next = self.now.after(pool.draw(gap));
                let walks_off = pool.dice.below(100) < cancelling;
                let after = if walks_off { pool.dice.up_to(hold) } else { Duration::MAX };
                let drawn = pool.draw(hold);
                self.ledger.walking_off += u64::from(walks_off);
                self.push(at, next, What::Call { load: self.loads });
                (drawn, self.now.after(after))
            }
        };
        self.ledger.claims += 1;
        let number = self.ledger.claims;
        let pool = &mut self.pools[at];
        let deadline = self.now.after(pool.machine.policy().claim_timeout);
        let claim = pool.sit_down(Seat { since: self.now, hold, leaves, number });
        self.tell(at, Event::Claim { claim, deadline });
        let waits = self.pools[at].seat(claim).is_some_and(|seat| seat.number == number);
        if waits && !leaves.is_never() {
            self.push(at, leaves, What::Cancel { claim, number });
        }
    }

    fn cancel(&mut self, pool: usize, claim: ClaimId, number: u64) {
        // What is due comes first, and may decide about the claim.
        self.ring(pool);
        if self.pools[pool].seat(claim).is_some_and(|seat| seat.number == number) {
            self.pools[pool].stand_up(claim);
            self.ledger.cancelled += 1;
            self.tell(pool, Event::Cancelled(claim));
        }
    }

    fn lives(&mut self, pool: usize, slot: SlotId) -> bool {
        let berth = self.pools[pool].berth(slot);
        let server = &self.servers[berth.server as usize];
        berth.life != 0 && server.life() == berth.life
    }

    /// Tells a machine, and carries out what it asks for.
    fn tell(&mut self, pool: usize, event: Event) {
        self.follow.push_back(event);
        while let Some(event) = self.follow.pop_front() {
            self.ledger.events += 1;
            if pool == 0 {
                self.told.push((self.now, event.clone()));
            }
            let mut out = mem::take(&mut self.out);
            self.pools[pool].machine.handle(self.now, event, &mut out);
            for action in out.drain(..) {
                self.obey(pool, action);
            }
            self.out = out;
        }
        self.aim(pool);
    }

    fn aim(&mut self, pool: usize) {
        let deadline = self.pools[pool].machine.deadline().unwrap_or(Timestamp::NEVER);
        if deadline < self.pools[pool].alarm {
            self.pools[pool].alarm = deadline;
            self.push(pool, deadline.max(self.now), What::Alarm);
        }
    }

    fn obey(&mut self, at: usize, action: Action) {
        match action {
            Action::Connect(slot, backend) => {
                let pool = &mut self.pools[at];
                let server = u32::from(pool.machine.backend(backend).address.port() - 1);
                let run = pool.begin(slot, Running::Connect);
                *pool.berth(slot) = super::pool::Berth { server, life: 0, ..*pool.berth(slot) };
                self.ledger.dials += 1;
                if self.ledger.watched.server == Some(server) {
                    self.ledger.watched.dialled(at, self.now);
                }
                self.push(at, self.now.after(WAY), What::Knock { slot, run, server, attempt: 0 });
            }
            Action::Check(slot) => {
                let run = self.pools[at].begin(slot, Running::Check);
                self.push(at, self.now.after(WAY * 2), What::Checked { slot, run });
            }
            Action::Recycle(slot) => unreachable!("{slot:?} was returned intact or broken"),
            Action::Abort(slot) => {
                let ran = self.pools[at].berth(slot).running;
                self.pools[at].begin(slot, Running::Nothing);
                let aborted = Err(Failure::Aborted);
                match ran {
                    Running::Connect => {
                        self.ledger.failed_dials += 1;
                        self.follow.push_back(Event::Connected(slot, aborted));
                    }
                    Running::Check => self.follow.push_back(Event::Checked(slot, aborted)),
                    // It ends at this very moment, and its time-out came first.
                    Running::Nothing => {}
                }
            }
            Action::Close(slot) => {
                if self.lives(at, slot) {
                    let server = self.pools[at].berth(slot).server;
                    self.servers[server as usize].open -= 1;
                    self.ledger.closed += 1;
                }
                self.pools[at].berth(slot).life = 0;
                self.follow.push_back(Event::Closed(slot));
            }
            Action::Grant { claim, slot, ticket: _ } => self.granted(at, claim, slot),
            Action::Revoke(claim, _) => unreachable!("{claim:?} was fetched at once"),
            Action::Deny(claim, _) => {
                self.pools[at].stand_up(claim);
                self.ledger.denied += 1;
                if let Load::Closed { hold } = self.load {
                    self.push(at, self.now.after(hold), What::Call { load: self.loads });
                }
            }
            Action::Stopped | Action::Note(_) => {}
        }
    }

    fn granted(&mut self, at: usize, claim: ClaimId, slot: SlotId) {
        let lives = self.lives(at, slot);
        let pool = &mut self.pools[at];
        let seat = pool.stand_up(claim);
        if pool.machine.slot_kind(slot) == Some(SlotKind::Granted) {
            self.follow.push_back(Event::Fetched(claim));
        }
        // Whoever gets a dead connection learns of it at once.
        let hold = if lives { seat.hold.min(seat.leaves.since(self.now)) } else { WAY };
        self.ledger.served += 1;
        self.ledger.held += hold;
        self.ledger.longest_wait = self.ledger.longest_wait.max(self.now.since(seat.since));
        self.push(at, self.now.after(hold), What::Return(slot));
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{LEAST, policy};

    #[test]
    fn a_packet_of_a_former_connect_arrives_where_it_was_sent() {
        let mut fleet = Fleet::new(Size { pools: 1, backends: 2, ..LEAST }, &policy());
        fleet.run_for(START);
        fleet.revive([0, 1], 1.0);
        // The slot belongs to one backend now, and the packet was sent to the other.
        let slot = SlotId(0);
        let server = fleet.pools[0].berth(slot).server;
        fleet.push(0, fleet.now, What::Knock { slot, run: 0, server: 1 - server, attempt: 0 });
        fleet.run_for(Duration::ZERO);
        let now = fleet.now;
        let mut next = |server: u32| fleet.servers[server as usize].welcome(now);
        assert_eq!(next(server), Welcome::Accepted(now));
        assert_eq!(next(1 - server), Welcome::Accepted(now.after(Duration::from_secs(1))));
    }
}
