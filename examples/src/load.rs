//! A load: claimers at work, and what they counted.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qorb_driver::{Backend, Connector, Pool, Runtime, Timestamp};
use smol::channel::{Receiver, Sender, bounded};
use smol::future::or;

use crate::claimer::{Card, Claimer, Seen};
use crate::exchange::Exchange;

/// How long claims may still wait when time is up.
const GRACE: Duration = Duration::from_secs(5);

/// What the claimers do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// How many claimers there are.
    pub claimers: usize,
    /// How long each holds its connection: it says something before and after that.
    pub hold: Duration,
}

/// What they counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Claims that got a connection.
    pub claims_ok: u64,
    /// Claims that got none.
    pub claims_failed: u64,
    /// Those that got one, by the name of the backend.
    pub by_backend: BTreeMap<String, u64>,
    /// Requests that failed on the connection their claim had got: when they got it. Each was made
    /// again, on a new claim.
    pub cut_off: Vec<Timestamp>,
    /// The latest error, for people.
    pub latest_error: Option<String>,
    /// The backend that was lost latest, and when.
    pub lost: Option<(Backend, Timestamp)>,
    /// How long after it was due back (or lost, where nobody knows) it served again.
    pub recovered_in: Option<Duration>,
}

impl Tally {
    /// A backend was lost, or is due back: from now on its next answer is waited for.
    pub fn await_answer(&mut self, backend: Backend, now: Timestamp) {
        self.lost = Some((backend, now));
        self.recovered_in = None;
    }

    /// Whether a backend was lost and has not answered since.
    #[must_use]
    pub fn is_missing(&self, backend: &Backend) -> bool {
        self.recovered_in.is_none()
            && self.lost.as_ref().is_some_and(|(lost, _)| lost.identity() == backend.identity())
    }

    pub(crate) fn answered(&mut self, backend: &Backend, now: Timestamp) {
        if self.is_missing(backend) {
            self.recovered_in = self.lost.as_ref().map(|(_, since)| now.since(*since));
        }
    }
}

/// Claimers at work: they claim, say something, hold on, say something more, and begin anew. They stop
/// when this is dropped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    cards: Mutex<Vec<Arc<Card>>>,
    /// One for every claimer, and one for those that may still be added.
    present: Option<Sender<()>>,
    gone: Receiver<()>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    tally: Mutex<Tally>,
    /// Nothing is ever sent: it is closed when time is up.
    pub(crate) over: Receiver<Infallible>,
    _open: Sender<Infallible>,
}

impl Load {
    /// Sets the claimers to work on `pool`.
    pub fn start<K, R>(runtime: &R, pool: &Pool<K, R>, work: Work) -> Self
    where
        K: Connector<Connection: Exchange>,
        R: Runtime,
    {
        let (open, over) = bounded(1);
        let shared = Arc::new(Shared { tally: Mutex::default(), over, _open: open });
        let (present, gone) = bounded(1);
        let load = Self { shared, cards: Mutex::default(), present: Some(present), gone };
        for _ in 0..work.claimers {
            load.add(runtime, pool, work.hold);
        }
        load
    }

    /// Sets one more to work.
    pub fn add<K, R>(&self, runtime: &R, pool: &Pool<K, R>, hold: Duration)
    where
        K: Connector<Connection: Exchange>,
        R: Runtime,
    {
        let mut cards = self.cards();
        let card = Arc::new(Card::new(cards.len(), hold));
        cards.push(Arc::clone(&card));
        let claimer = Claimer::new(runtime, pool, &self.shared, card, self.present.clone());
        runtime.spawn(claimer.work());
    }

    /// Sends the latest home: what it waits for is given up, what it is at is finished.
    pub fn remove(&self) {
        if let Some(card) = self.cards().pop() {
            card.send_home();
        }
    }

    /// From its next connection on the claimer at that place holds them so long.
    pub fn set_hold(&self, place: usize, hold: Duration) {
        if let Some(card) = self.cards().get(place) {
            card.set_hold(hold);
        }
    }

    /// The claimers, as they are now, the oldest first.
    pub fn claimers(&self) -> Vec<Seen> {
        self.cards().iter().map(|card| card.seen()).collect()
    }

    fn cards(&self) -> MutexGuard<'_, Vec<Arc<Card>>> {
        self.cards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted so far, to be read or added to.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.shared.tally()
    }

    /// Lets every claimer finish what it is at, without holding on any longer, and tells what they counted. Claims that get nothing in
    /// the next five seconds are denied: the pool ends.
    pub async fn finish<K: Connector, R: Runtime>(mut self, runtime: &R, pool: &Pool<K, R>) -> Tally {
        self.shared.over.close();
        self.present = None;
        // Nothing is ever sent: the channel closes with the last claimer.
        let gone = async {
            let _ = self.gone.recv().await;
            true
        };
        let late = async {
            runtime.sleep_until(runtime.now().after(GRACE)).await;
            false
        };
        if !or(gone, late).await {
            let reason = pool.try_claim().await.err();
            self.tally().latest_error = reason.map(|error| describe(&error));
            pool.terminate().await;
            let _ = self.gone.recv().await;
        }
        self.tally().clone()
    }
}

/// An error and what it came from, in one line.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.over.close();
    }
}

impl Shared {
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
