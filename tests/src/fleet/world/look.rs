//! What is seen of a fleet from outside.

use std::mem;

use qorb_core::pool::PoolMachine;
use qorb_core::record::Recorder;

use super::super::Glance;
use super::super::ledger::{Ledger, Sample};
use super::super::pool::Pool;
use super::super::report::{Line, Report};
use super::{Fleet, What};

impl Fleet {
    pub(crate) fn connections(&self) -> u64 {
        self.servers.iter().map(|server| u64::from(server.open)).sum()
    }

    /// The pools that have a connection to this backend.
    pub(crate) fn connected_to(&self, server: u32) -> Vec<usize> {
        let address = self.backends[server as usize].address;
        let is_connected = |pool: &Pool| {
            let mut census = pool.machine.census();
            census.any(|view| view.backend.address == address && view.counts.connected() > 0)
        };
        (0..self.pools.len()).filter(|pool| is_connected(&self.pools[*pool])).collect()
    }

    /// How many pairs of a pool and a backend are connected.
    pub(crate) fn pairs(&self) -> usize {
        let pairs = |pool: &Pool| pool.machine.census().filter(|view| view.counts.connected() > 0).count();
        self.pools.iter().map(pairs).sum()
    }

    /// The spares that an average backend which is up should have.
    pub(crate) fn wanted_of_each(&self) -> f64 {
        let up = self.servers.iter().filter(|server| server.is_up()).count();
        let spares = self.pools.iter().map(|pool| pool.machine.policy().spares_wanted).sum::<usize>();
        spares as f64 / up.max(1) as f64
    }

    /// The connections of the fullest backend, by those of an average one that is up.
    pub(crate) fn imbalance(&self) -> f64 {
        let (most, mean) = self.spread();
        f64::from(most) / mean
    }

    /// The connections of an average backend that is up.
    pub(crate) fn mean(&self) -> f64 {
        self.spread().1
    }

    fn spread(&self) -> (u32, f64) {
        let up = self.servers.iter().filter(|server| server.is_up());
        let (most, count) = up.fold((0, 0_u32), |(most, count), server| (most.max(server.open), count + 1));
        (most, self.connections() as f64 / f64::from(count.max(1)))
    }

    /// What came of it.
    pub(crate) fn report(self, scenario: &'static str, mut lines: Vec<Line>) -> Report {
        let broken = self.pools.iter().filter(|pool| pool.machine.audit().is_err()).count();
        lines.push(Line::at_most(0.0, "pools that do not pass their audit", broken as f64));
        let beginning = self.pools[0].beginning.clone();
        let recorder = Recorder::<PoolMachine>::retell(beginning, self.told);
        let log = recorder.expect("it began so before").log();
        Report { scenario, lines, samples: self.ledger.samples, events: self.ledger.events, log }
    }

    pub(super) fn sample(&mut self) {
        let before = mem::take(&mut self.sampled);
        let seconds = self.sample_every.as_secs_f64();
        let failures = |ledger: &Ledger| ledger.denied + ledger.broken;
        let rate = |now: u64, then: u64| (now - then) as f64 / seconds;
        let (most, mean) = self.spread();
        self.ledger.samples.push(Sample {
            at: self.now,
            connections: self.connections(),
            most,
            mean,
            waiting: self.pools.iter().map(|pool| u64::from(pool.machine.waiting())).sum(),
            dials: rate(self.ledger.dials, before.dials),
            failures: rate(failures(&self.ledger), failures(&before)),
        });
        let Ledger { dials, denied, broken, events, .. } = self.ledger;
        self.sampled = Ledger { dials, denied, broken, ..Ledger::default() };
        (self.size.onlooker)(Glance { now: self.now, events });
        self.push(0, self.now.after(self.sample_every), What::Sample);
    }
}
