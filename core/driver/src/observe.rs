//! The one place where what the machine notes becomes probes, log events and counters.

use std::mem;
use std::sync::Arc;

use qorb_core::pool::{BackendId, Failure, Note, SlotId, SlotKind};

use crate::connector::Connector;
use crate::effects::Effects;
use crate::link::Record;
use crate::probes::{self, Asked};
use crate::report::Report;
use crate::state::{Entry, State};

impl<K: Connector> State<K> {
    /// Tells everybody who wants to know.
    pub(crate) fn observe(&mut self, note: &Note, effects: &mut Effects<K>) {
        match *note {
            Note::Slot { slot, backend, from, to } => {
                if from.is_none() {
                    self.open_berth(slot, backend);
                }
                self.show_change(slot, to);
                if to.is_none() {
                    self.close_berth(slot);
                }
            }
            Note::Added(id) => {
                self.onlookers.set_changed();
                let record = self.added(id);
                record.set_wanted(!self.ending);
                self.report(effects, || Report::Added(record));
            }
            Note::Removed(id) => {
                self.onlookers.set_changed();
                let record = Arc::clone(&self.entry(id).record);
                record.set_wanted(false);
                self.report(effects, || Report::Removed(record));
            }
            Note::Online(id) => {
                let (since, has_unclaimed) = (self.machine.latest(), self.machine.has_unclaimed(id));
                let entry = self.entry(id);
                (entry.online, entry.since, entry.has_unclaimed) = (true, since, has_unclaimed);
                let record = Arc::clone(&entry.record);
                probes::slot_set_online(&self.name, &record.address, has_unclaimed);
                self.report(effects, || Report::Online(record));
            }
            Note::Offline(id) => {
                let since = self.machine.latest();
                let entry = self.entry(id);
                (entry.online, entry.since, entry.has_unclaimed) = (false, since, false);
                let record = Arc::clone(&entry.record);
                probes::slot_set_offline(&self.name, &record.address);
                self.report(effects, || Report::Offline(record));
            }
            Note::Failed(id, kind, failure) => self.failed(id, kind, failure, effects),
            Note::Recovered(id) => self.entry(id).failures = 0,
            Note::Planned { .. } => probes::rebalanced(&self.name),
        }
    }

    /// A grant, as probes show it: the backend is chosen, its slot taken, the connection handed over.
    #[inline]
    pub(crate) fn show_grant(&mut self, slot: SlotId, claim: u64, asked: Asked) {
        let to = Some(SlotKind::Claimed);
        let from = mem::replace(&mut self.berth(slot).shown, to);
        if probes::watched() {
            self.show_watched(slot, from, to, Some((claim, asked)));
        }
    }

    /// A slot is in another state, as probes show it.
    #[inline]
    pub(crate) fn show_change(&mut self, slot: SlotId, to: Option<SlotKind>) {
        let from = mem::replace(&mut self.berth(slot).shown, to);
        if probes::watched() {
            self.show_watched(slot, from, to, None);
        }
    }

    /// The same where somebody watches. Before it, that the backend has its first idle connection or has lost its
    /// last: as it is after the event, like the counts.
    #[cold]
    fn show_watched(
        &mut self,
        slot: SlotId,
        from: Option<SlotKind>,
        to: Option<SlotKind>,
        grant: Option<(u64, Asked)>,
    ) {
        if let Some((claim, Asked::Just)) = grant {
            probes::show_claim_start(&self.name, claim);
        }
        let berth = self.berth(slot);
        let (backend, serial) = (berth.backend, berth.serial);
        let has_unclaimed = self.machine.has_unclaimed(backend);
        let entry = self.entry(backend);
        if mem::replace(&mut entry.has_unclaimed, has_unclaimed) != has_unclaimed && entry.online {
            probes::slot_set_online(&self.name, self.address_of(backend), has_unclaimed);
        }
        let counts = &|| self.counts(backend);
        let address = self.address_of(backend);
        if let Some((claim, asked)) = grant {
            probes::granted(&self.name, claim, serial, address, from, asked, counts);
        } else {
            probes::slot_state_change(&self.name, address, serial, from, to, counts);
        }
    }

    /// What is known of a backend that joins the set. A number that another backend had starts afresh.
    fn added(&mut self, id: BackendId) -> Arc<Record> {
        let index = id.0 as usize;
        if index >= self.backends.len() {
            self.backends.resize_with(index + 1, || None);
        }
        let (backend, since) = (self.machine.backend(id), self.machine.latest());
        let place = &mut self.backends[index];
        if place.as_ref().is_some_and(|entry| entry.record.backend.identity() != backend.identity()) {
            *place = None;
        }
        let entry = place.get_or_insert_with(|| Entry {
            record: Arc::new(Record::new(backend.clone())),
            claims: 0,
            last_error: None,
            online: false,
            has_unclaimed: false,
            relapses: 0,
            failures: 0,
            connect_failures: 0,
            since,
        });
        Arc::clone(&entry.record)
    }

    /// Of many failures in a row, the first, second, fourth, eighth and so on are reported; and of many such
    /// rows, the beginnings of the first, second, fourth and so on.
    fn failed(&mut self, id: BackendId, kind: SlotKind, failure: Failure, effects: &mut Effects<K>) {
        self.tally.failures += 1;
        if self.machine.is_forsaken() {
            effects.rare().forsaken = true;
        }
        let entry = self.entry(id);
        entry.failures += 1;
        entry.connect_failures += u64::from(kind == SlotKind::Connecting);
        entry.relapses += u64::from(entry.failures == 1);
        let times = if entry.failures == 1 { entry.relapses } else { entry.failures };
        if times.is_power_of_two() {
            let (record, error) = (Arc::clone(&entry.record), entry.last_error.clone());
            self.report(effects, || Report::Failed(record, failure, error));
        }
    }

    pub(crate) fn report(&self, effects: &mut Effects<K>, report: impl FnOnce() -> Report) {
        if Report::WANTED {
            effects.rare().reports.push(report());
        }
    }

    /// A backend's slots after this event, as a JSON object in the form that `usdt` gives to one.
    fn counts(&self, backend: BackendId) -> String {
        let view = self.machine.census().find(|view| view.id == backend);
        let of = |kinds: &[SlotKind]| -> u32 {
            kinds.iter().map(|&kind| view.map_or(0, |view| view.counts.of(kind))).sum()
        };
        format!(
            r#"{{"ok":{{"connecting_slots":{},"unclaimed_slots":{},"checking_slots":{},"claimed_slots":{}}}}}"#,
            of(&[SlotKind::Connecting]),
            of(&[SlotKind::Unclaimed]),
            of(&[SlotKind::Checking, SlotKind::Recycling]),
            of(&[SlotKind::Granted, SlotKind::Acquiring, SlotKind::Claimed]),
        )
    }
}
