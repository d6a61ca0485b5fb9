//! What was decided under the lock and is carried out after it.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use qorb_core::pool::{ClaimId, SlotId};

use crate::connector::Connector;
use crate::error::SharedError;
use crate::link::{Errand, Link, Record};
use crate::report::Report;

/// Work for after the lock. The common case, one waker to wake, needs no heap.
pub(crate) struct Effects<K: Connector> {
    pub(crate) waker: Option<Waker>,
    pub(crate) rare: Option<Box<Rare<K>>>,
}

/// The rest: none of it occurs when connections merely go out and come back.
pub(crate) struct Rare<K: Connector> {
    pub(crate) wakers: Vec<Waker>,
    pub(crate) starts: Vec<Start<K>>,
    pub(crate) aborts: Vec<Arc<Cancel>>,
    pub(crate) closings: Vec<(SlotId, Place<K>)>,
    pub(crate) litter: Vec<Litter<K>>,
    pub(crate) reports: Vec<Report>,
    /// Every backend is down.
    pub(crate) forsaken: bool,
}

/// An operation to start.
pub(crate) enum Start<K: Connector> {
    Connect { slot: SlotId, serial: u64, record: Arc<Record>, cancel: Arc<Cancel> },
    Check { slot: SlotId, errand: Option<Errand<K>>, cancel: Arc<Cancel> },
    Recycle { slot: SlotId, errand: Option<Errand<K>>, cancel: Arc<Cancel> },
}

/// Where the connection of a slot is.
pub(crate) enum Place<K: Connector> {
    /// With a claimer, or there is none.
    Elsewhere,
    /// With an operation, which can be told to give up.
    Busy(Arc<Cancel>),
    /// On the seat of the claim it was granted to, or fetched from there without the machine's knowing.
    Seated(ClaimId),
    /// On the shelf.
    Resting(Link<K>),
    /// On the shelf, its `on_recycle` polled once and pending.
    Suspended(Errand<K>),
}

/// A thing of the user's to drop: its destructor is not ours.
#[allow(dead_code, reason = "they are made to be dropped")]
pub(crate) enum Litter<K: Connector> {
    Link(Link<K>),
    Errand(Errand<K>),
    Error(SharedError),
    Waker(Waker),
}

impl<K: Connector> Effects<K> {
    pub(crate) fn new() -> Self {
        Self { waker: None, rare: None }
    }

    pub(crate) fn wake(&mut self, waker: Waker) {
        if self.waker.is_none() {
            self.waker = Some(waker);
        } else {
            self.rare().wakers.push(waker);
        }
    }

    /// Keeps something to be dropped outside the lock.
    pub(crate) fn discard(&mut self, litter: Litter<K>) {
        self.rare().litter.push(litter);
    }

    #[cold]
    pub(crate) fn rare(&mut self) -> &mut Rare<K> {
        self.rare.get_or_insert_with(|| Box::new(Rare::new()))
    }
}

impl<K: Connector> Rare<K> {
    fn new() -> Self {
        Self {
            wakers: Vec::new(),
            starts: Vec::new(),
            aborts: Vec::new(),
            closings: Vec::new(),
            litter: Vec::new(),
            reports: Vec::new(),
            forsaken: false,
        }
    }
}

impl<K: Connector> Place<K> {
    pub(crate) fn take(&mut self) -> Self {
        mem::replace(self, Self::Elsewhere)
    }

    /// Puts a connection on the shelf, where none is. Every turn ends with this: it is not looked for
    /// anything to drop.
    #[inline]
    pub(crate) fn rest(&mut self, link: Link<K>) {
        let before = mem::replace(self, Self::Resting(link));
        if matches!(before, Self::Elsewhere | Self::Seated(_)) {
            mem::forget(before);
        }
    }
}

/// Asks an operation to drop what it is doing at the next opportunity.
#[derive(Debug, Default)]
pub(crate) struct Cancel(Mutex<Wish>);

#[derive(Debug, Default)]
struct Wish {
    asked: bool,
    waker: Option<Waker>,
}

impl Cancel {
    pub(crate) fn ask(&self) {
        let mut wish = self.lock();
        wish.asked = true;
        let waker = wish.waker.take();
        drop(wish);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once asked, and then not before it is asked again.
    pub(crate) fn poll_again(&self, cx: &Context<'_>) -> Poll<()> {
        let asked = self.poll(cx);
        if asked.is_ready() {
            self.lock().asked = false;
        }
        asked
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.lock().asked
    }

    /// Ready once asked.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let fresh = cx.waker().clone();
        let mut wish = self.lock();
        if wish.asked {
            return Poll::Ready(());
        }
        let stale = wish.waker.replace(fresh);
        drop(wish);
        drop(stale);
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
