//! What is under a pool's lock: the machine, the shelf and the seats; and how the machine is obeyed.

use std::mem;
use std::num::NonZeroU64;
use std::sync::{Arc, Weak};

use qorb_core::pool::{Action, BackendId, ClaimId, Denial, Event, Failure, PoolMachine, SlotId, SlotKind};
use qorb_core::{Machine, Timestamp};

use crate::alarm::Alarm;
use crate::connector::Connector;
use crate::effects::{Cancel, Effects, Litter, Place, Start};
use crate::error::SharedError;
use crate::label::Labels;
use crate::link::{Chore, Link, Record, SharedHome};
use crate::onlookers::Onlookers;
use crate::operation::Kind;
use crate::probes::{self, Asked};
use crate::seats::{Cells, Refusal, Roll, Seat};
use crate::stats::Tally;
use crate::told::Told;

/// What the lock protects. What every turn touches comes first, side by side, and apart from the lock, which
/// those who wait for it look at.
#[repr(C, align(128))]
pub(crate) struct State<K: Connector> {
    pub(crate) roll: Roll,
    pub(crate) machine: Told,
    /// By [`SlotId`].
    pub(crate) shelf: Vec<Berth<K>>,
    /// By [`ClaimId`].
    pub(crate) seats: Vec<Seat<K>>,
    /// By [`ClaimId`].
    pub(crate) cells: Arc<Cells<K>>,
    /// By [`BackendId`].
    pub(crate) backends: Vec<Option<Entry>>,
    pub(crate) name: Arc<str>,
    pub(crate) alarm: Alarm,
    pub(crate) tally: Tally,
    pub(crate) onlookers: Onlookers,
    pub(crate) labels: Labels,
    /// Empty whenever the lock is free.
    pub(crate) out: Vec<Action>,
    /// What connections know of the pool: those of every sixteenth slot share one, which is gone with the last of
    /// them.
    pub(crate) homes: [Weak<SharedHome<K>>; HOMES],
    /// The latest connect error of any backend.
    last_error: Option<SharedError>,
    pub(crate) ending: bool,
    pub(crate) stopped: bool,
}

/// How many homes a pool has at most: more than there usually are threads that bring connections back.
pub(crate) const HOMES: usize = 16;

/// A slot, as far as the driver knows it. Aligned, so that a turn touches one line of the cache for it.
///
/// Its number and its backend are kept here because a note may tell of a slot that is gone already.
#[repr(align(64))]
pub(crate) struct Berth<K: Connector> {
    pub(crate) place: Place<K>,
    /// From its grant to its return.
    pub(crate) away: Option<Away>,
    /// The slot's number for people.
    pub(crate) serial: u64,
    /// Claims that its connection served. One counts when its handle is back, or when it is shown to somebody
    /// before that; it stays counted even where `on_acquire` refuses the connection at that very moment, so that no
    /// counter goes back.
    pub(crate) claims: u64,
    pub(crate) backend: BackendId,
    /// The state that tracers were shown last.
    pub(crate) shown: Option<SlotKind>,
    /// The claim that has it is among those that it served.
    counted: bool,
}

impl<K: Connector> Berth<K> {
    fn vacant() -> Self {
        Self {
            place: Place::Elsewhere,
            away: None,
            serial: 0,
            claims: 0,
            backend: BackendId(0),
            shown: None,
            counted: false,
        }
    }

    /// Takes the connection off the shelf for a claimer.
    #[inline]
    pub(crate) fn lift(&mut self) -> Link<K> {
        match self.place.take() {
            Place::Resting(link) => link,
            Place::Suspended(_) | Place::Seated(_) | Place::Busy(_) | Place::Elsewhere => {
                unreachable!("C5: a granted connection rests")
            }
        }
    }

    /// It goes to a claimer, or to a seat where one will find it.
    #[inline]
    pub(crate) fn goes(&mut self, away: Away) {
        self.away = Some(away);
        self.counted = false;
    }

    /// Its claim was served, for the statistics.
    #[inline]
    pub(crate) fn count(&mut self, tally: &mut Tally) {
        let Some(away) = self.away.filter(|_| !self.counted) else { return };
        self.counted = true;
        self.claims += 1;
        if let Some(waited) = away.waited() {
            tally.wait.add(waited);
        }
    }

    /// The seat it was granted to, until the machine knows that it was fetched.
    pub(crate) fn seat(&self) -> Option<ClaimId> {
        if let Place::Seated(claim) = self.place { Some(claim) } else { None }
    }
}

/// A connection in a claimer's hands, or on the way there.
#[derive(Clone, Copy)]
pub(crate) struct Away {
    /// The claim's number for people.
    pub(crate) claim: NonZeroU64,
    /// Since when. For most of those granted at once it is the machine's time, which may be older.
    pub(crate) since: Timestamp,
    /// When the claim asked; never, if it had what it asked for at once.
    asked: Timestamp,
}

/// How long a connection is held is measured for one claim in so many, which reads the clock for it.
const SAMPLED: u64 = 16;

/// Whether it is measured for the claim of this number: the first one, and then by golden steps, so that
/// claimers who take turns are all measured alike (Knuth, The Art of Computer Programming, 6.4).
#[inline]
pub(crate) fn is_sampled(claim: u64) -> bool {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    claim.wrapping_sub(1).wrapping_mul(GOLDEN) <= u64::MAX / SAMPLED
}

impl Away {
    #[inline]
    pub(crate) fn at_once(claim: u64, since: Timestamp) -> Self {
        Self::after_waiting(claim, since, Timestamp::NEVER)
    }

    #[inline]
    pub(crate) fn after_waiting(claim: u64, since: Timestamp, asked: Timestamp) -> Self {
        let claim = NonZeroU64::new(claim).expect("a claim has a number before it has a connection");
        Self { claim, since, asked }
    }

    /// How many nanoseconds the claim waited, if it had to.
    pub(crate) fn waited(&self) -> Option<u64> {
        (!self.asked.is_never()).then(|| self.since.nanos_since(self.asked))
    }

    /// For how many nanoseconds the connection was held by `now`, if that is measured.
    pub(crate) fn held(&self, now: Timestamp) -> Option<u64> {
        is_sampled(self.claim.get()).then(|| now.nanos_since(self.since))
    }
}

/// A backend, as far as the driver knows it.
pub(crate) struct Entry {
    pub(crate) record: Arc<Record>,
    /// Claims that slots of it served which are gone.
    pub(crate) claims: u64,
    pub(crate) last_error: Option<SharedError>,
    /// As far as the notes went; the machine is ahead of them while they are read.
    pub(crate) online: bool,
    /// One of its connections rests, as tracers were shown last.
    pub(crate) has_unclaimed: bool,
    /// How often it began to fail.
    pub(crate) relapses: u64,
    /// Failures since it last recovered.
    pub(crate) failures: u64,
    /// Connects that ever failed.
    pub(crate) connect_failures: u64,
    /// Since when it has been online, or has not.
    pub(crate) since: Timestamp,
}

/// What a claim is told in the same call in which it asks.
pub(crate) enum Answer<K: Connector> {
    Granted(Link<K>),
    Denied(Refusal),
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    type Any = State<crate::ConnectorFn<fn(crate::Backend) -> std::future::Ready<std::io::Result<()>>>>;
    assert!(
        mem::offset_of!(Any, machine) == 24,
        "what turns write of the machine fills two lines from there"
    );
};

impl<K: Connector> State<K> {
    pub(crate) fn new(name: Arc<str>, machine: PoolMachine, cells: Arc<Cells<K>>) -> Self {
        Self {
            name,
            machine: Told::new(machine),
            out: Vec::new(),
            shelf: Vec::new(),
            seats: Vec::new(),
            cells,
            roll: Roll::default(),
            backends: Vec::new(),
            alarm: Alarm::default(),
            onlookers: Onlookers::default(),
            labels: Labels::default(),
            tally: Tally::default(),
            homes: [const { Weak::new() }; HOMES],
            last_error: None,
            ending: false,
            stopped: false,
        }
    }

    /// An operation of this slot has ended, and left this.
    pub(crate) fn end_operation(&mut self, slot: SlotId, link: Option<Link<K>>) {
        self.berth(slot).place = link.map_or(Place::Elsewhere, Place::Resting);
    }

    /// One event, for nobody in particular.
    pub(crate) fn handle(&mut self, now: Timestamp, event: Event, effects: &mut Effects<K>) {
        let answer = self.handle_for(None, now, event, effects);
        debug_assert!(answer.is_none(), "an answer for nobody");
    }

    /// Fires what is due at `now`. An event about a claim is to be told only after that: a deadline that
    /// has passed may have decided about the claim already.
    #[inline]
    pub(crate) fn catch_up(&mut self, now: Timestamp, effects: &mut Effects<K>) {
        if self.machine.deadline().is_some_and(|deadline| deadline <= now) {
            self.handle(now, Event::Tick, effects);
        }
    }

    /// One event; what the claim `mine`, which has no seat yet but a number for people, is told at once is
    /// returned.
    pub(crate) fn handle_for(
        &mut self,
        mine: Option<(ClaimId, u64)>,
        now: Timestamp,
        event: Event,
        effects: &mut Effects<K>,
    ) -> Option<Answer<K>> {
        debug_assert!(self.out.is_empty(), "rule 2: every action was obeyed before the lock was released");
        if event == Event::ShutDown || self.machine.deadline().is_some_and(|deadline| deadline <= now) {
            self.learn_who_fetched();
        }
        let mut out = mem::take(&mut self.out);
        self.machine.handle(now, event, &mut out);
        let mut answer = None;
        for action in out.drain(..) {
            self.obey(action, mine, &mut answer, effects);
        }
        self.out = out;
        self.machine.is_obeyed();
        #[cfg(feature = "record")]
        if let Some(breach) = self.machine.breach() {
            self.report(effects, || crate::report::Report::Breach(breach));
        }
        self.alarm.aim(self.machine.deadline(), effects);
        if !self.onlookers.is_empty() {
            self.onlookers.tell(&self.machine, self.stopped, effects);
        }
        answer
    }

    fn obey(
        &mut self,
        action: Action,
        mine: Option<(ClaimId, u64)>,
        answer: &mut Option<Answer<K>>,
        effects: &mut Effects<K>,
    ) {
        match action {
            Action::Grant { claim, slot, ticket } => {
                let mut link = self.berth(slot).lift();
                link.held.set_ticket(ticket);
                if let Some((_, number)) = mine.filter(|(id, _)| *id == claim) {
                    self.show_grant(slot, number, Asked::Before);
                    *answer = Some(Answer::Granted(link));
                } else {
                    self.seat_grant(claim, link, effects);
                }
            }
            Action::Deny(claim, denial) => {
                let refusal = self.refusal(denial);
                if mine.is_some_and(|(id, _)| id == claim) {
                    *answer = Some(Answer::Denied(refusal));
                } else {
                    self.refuse(claim, refusal, effects);
                }
            }
            Action::Revoke(claim, slot) => self.revoke(claim, slot, effects),
            Action::Note(note) => self.observe(&note, effects),
            Action::Connect(slot, backend) => self.connect(slot, backend, effects),
            Action::Check(slot) => {
                probes::health_check_start(&self.name, self.serial(slot), self.address(slot));
                let (place, cancel) = self.begin(slot);
                let errand =
                    if let Place::Resting(link) = place { Some(link.start(Chore::Check)) } else { None };
                effects.rare().starts.push(Start::Check { slot, errand, cancel });
            }
            Action::Recycle(slot) => {
                // It was begun where the handle was dropped.
                let (place, cancel) = self.begin(slot);
                let errand = if let Place::Suspended(errand) = place { Some(errand) } else { None };
                effects.rare().starts.push(Start::Recycle { slot, errand, cancel });
            }
            Action::Close(slot) => {
                self.tally.closes += 1;
                let place = self.berth(slot).place.take();
                if let Place::Suspended(_) = place {
                    probes::recycle_ended(&self.name, self.serial(slot), Err(Failure::Aborted));
                }
                effects.rare().closings.push((slot, place));
            }
            Action::Abort(slot) => {
                if let Place::Busy(cancel) = &self.berth(slot).place {
                    effects.rare().aborts.push(Arc::clone(cancel));
                }
            }
            Action::Stopped => {
                self.stopped = true;
                self.alarm.end(effects);
            }
        }
    }

    fn connect(&mut self, slot: SlotId, backend: BackendId, effects: &mut Effects<K>) {
        self.tally.connects += 1;
        let (_, cancel) = self.begin(slot);
        let serial = self.serial(slot);
        let record = Arc::clone(&self.entry(backend).record);
        probes::connect_start(&self.name, serial, &record.address);
        effects.rare().starts.push(Start::Connect { slot, serial, record, cancel });
    }

    /// A connection comes back that served nobody.
    pub(crate) fn came_back_unused(&mut self, slot: SlotId) {
        let berth = self.berth(slot);
        let (away, serial) = (berth.away.take(), berth.serial);
        if away.is_some() {
            probes::handle_returned(&self.name, serial);
        }
    }

    /// Puts a connection back that a claimer had.
    pub(crate) fn put_back(&mut self, now: Timestamp, slot: SlotId, place: Place<K>) {
        self.catch_up_with(slot);
        self.berth(slot).place = place;
        self.came_back(now, slot);
    }

    /// The slot's number for people.
    pub(crate) fn serial(&self, slot: SlotId) -> u64 {
        self.shelf.get(slot.0 as usize).map_or(0, |berth| berth.serial)
    }

    /// The address of the slot's backend, for people.
    pub(crate) fn address(&self, slot: SlotId) -> &str {
        self.shelf.get(slot.0 as usize).map_or("", |berth| self.address_of(berth.backend))
    }

    pub(crate) fn address_of(&self, backend: BackendId) -> &str {
        let entry = self.backends.get(backend.0 as usize).and_then(Option::as_ref);
        entry.map_or("", |entry| &entry.record.address)
    }

    /// Shows how an operation ended.
    pub(crate) fn observe_end(&self, slot: SlotId, kind: Kind, result: Result<(), Failure>) {
        let (pool, serial) = (&*self.name, self.serial(slot));
        match kind {
            Kind::Connect => probes::connect_ended(pool, serial, self.address(slot), result),
            Kind::Check => probes::health_check_ended(pool, serial, result),
            Kind::Recycle => probes::recycle_ended(pool, serial, result),
        }
    }

    /// A new operation of a slot, on what it finds there.
    fn begin(&mut self, slot: SlotId) -> (Place<K>, Arc<Cancel>) {
        let cancel = Arc::<Cancel>::default();
        let found = mem::replace(&mut self.berth(slot).place, Place::Busy(Arc::clone(&cancel)));
        (found, cancel)
    }

    #[inline]
    pub(crate) fn berth(&mut self, slot: SlotId) -> &mut Berth<K> {
        &mut self.shelf[slot.0 as usize]
    }

    /// Makes room for a slot that opens, and for what is known of it.
    pub(crate) fn open_berth(&mut self, slot: SlotId, backend: BackendId) {
        let index = slot.0 as usize;
        if index >= self.shelf.len() {
            self.shelf.resize_with(index + 1, Berth::vacant);
        }
        let serial = self.machine.serial(slot);
        let berth = self.berth(slot);
        berth.serial = serial;
        berth.backend = backend;
    }

    /// A slot is gone; what its connection served is not forgotten.
    pub(crate) fn close_berth(&mut self, slot: SlotId) {
        let berth = self.berth(slot);
        let (backend, served) = (berth.backend, std::mem::take(&mut berth.claims));
        self.entry(backend).claims += served;
        self.tally.served += served;
        self.labels.forget(slot);
    }

    /// What is known of a backend, from the note of its arrival on.
    #[inline]
    pub(crate) fn entry(&mut self, id: BackendId) -> &mut Entry {
        let entry = self.backends.get_mut(id.0 as usize).and_then(Option::as_mut);
        entry.unwrap_or_else(|| no_entry())
    }

    /// Remembers a backend's error for people. The one before is dropped outside the lock.
    pub(crate) fn blame(&mut self, slot: SlotId, error: &SharedError, effects: &mut Effects<K>) {
        let backend = self.berth(slot).backend;
        let olds = [
            self.entry(backend).last_error.replace(Arc::clone(error)),
            self.last_error.replace(Arc::clone(error)),
        ];
        for old in olds.into_iter().flatten() {
            effects.discard(Litter::Error(old));
        }
    }

    pub(crate) fn refusal(&mut self, kind: Denial) -> Refusal {
        self.tally.denied(kind);
        let unreachable = kind == Denial::NoBackendsOnline;
        let source = self.last_error.as_ref().filter(|_| unreachable).cloned();
        Refusal { kind, waiting: self.machine.waiting() as usize, source }
    }
}

/// Out of the way of every turn.
#[cold]
#[inline(never)]
fn no_entry() -> ! {
    panic!("a backend is added before anything happens to it")
}
