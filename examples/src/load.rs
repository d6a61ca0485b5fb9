//! Claimers at work.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qorb_driver::{Backend, ClaimError, Connector, Denial, Handle, Pool, Runtime, Timestamp};
use smol::channel::{Receiver, Sender, bounded};
use smol::future::or;

use crate::exchange::Exchange;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long claims may still wait when time is up.
const GRACE: Duration = Duration::from_secs(5);
/// How long a claimer rests after it was denied: some denials come at once.
const REST: Duration = Duration::from_millis(100);

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

    fn answered(&mut self, backend: &Backend, now: Timestamp) {
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
    gone: Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    tally: Mutex<Tally>,
    /// Nothing is ever sent: it is closed when time is up.
    over: Receiver<Infallible>,
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
        for number in 0..work.claimers {
            let (runtime, pool) = (runtime.clone(), pool.clone());
            let (shared, hold, present) = (Arc::clone(&shared), work.hold, present.clone());
            let request = format!("claimer {number} was here\n").into_bytes();
            runtime.clone().spawn(async move {
                Claimer { runtime, pool, shared, hold, request, _present: present }.work().await;
            });
        }
        Self { shared, gone }
    }

    /// What was counted so far, to be read or added to.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.shared.tally()
    }

    /// Lets every claimer finish what it is at, without holding on any longer, and tells what they counted. Claims that get nothing in
    /// the next five seconds are denied: the pool ends.
    pub async fn finish<K: Connector, R: Runtime>(self, runtime: &R, pool: &Pool<K, R>) -> Tally {
        self.shared.over.close();
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
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Claimer<K: Connector, R: Runtime> {
    runtime: R,
    pool: Pool<K, R>,
    shared: Arc<Shared>,
    hold: Duration,
    request: Vec<u8>,
    _present: Sender<()>,
}

impl<K: Connector<Connection: Exchange>, R: Runtime> Claimer<K, R> {
    async fn work(self) {
        while !self.shared.over.is_closed() {
            // A request that was cut off is made again, even when time is up.
            while !self.request().await {}
        }
    }

    /// Whether there is nothing left to do about this request.
    async fn request(&self) -> bool {
        match self.pool.claim().await {
            Ok(handle) => {
                self.granted(&handle);
                self.converse(handle).await
            }
            Err(error) => {
                self.denied(&error).await;
                true
            }
        }
    }

    /// Whether all of it was answered.
    async fn converse(&self, mut handle: Handle<K, R>) -> bool {
        let granted = self.runtime.now();
        let mut answer = self.say(&mut handle).await;
        if answer.is_ok() {
            or(self.pause(self.hold), self.time_is_up()).await;
            answer = self.say(&mut handle).await;
        }
        let Err(error) = answer else { return true };
        let backend = handle.backend().clone();
        // It is broken; the pool is told so.
        handle.discard();
        let mut tally = self.shared.tally();
        tally.cut_off.push(granted);
        tally.latest_error = Some(format!("{}: {error}", backend.name));
        if !tally.is_missing(&backend) {
            tally.await_answer(backend, self.runtime.now());
        }
        false
    }

    async fn say(&self, handle: &mut Handle<K, R>) -> std::io::Result<()> {
        let late = async {
            self.pause(PATIENCE).await;
            Err(std::io::ErrorKind::TimedOut.into())
        };
        or(handle.exchange(&self.request), late).await?;
        self.shared.tally().answered(handle.backend(), self.runtime.now());
        Ok(())
    }

    fn granted(&self, handle: &Handle<K, R>) {
        let mut tally = self.shared.tally();
        tally.claims_ok += 1;
        let name: &str = &handle.backend().name;
        if let Some(count) = tally.by_backend.get_mut(name) {
            *count += 1;
        } else {
            tally.by_backend.insert(name.to_owned(), 1);
        }
    }

    async fn denied(&self, error: &ClaimError) {
        {
            let mut tally = self.shared.tally();
            tally.claims_failed += 1;
            // That the pool was ended says nothing about why there was no connection.
            if error.kind != Denial::Terminated || tally.latest_error.is_none() {
                tally.latest_error = Some(describe(error));
            }
        }
        if error.kind == Denial::Terminated {
            self.shared.over.close();
        } else {
            self.pause(REST).await;
        }
    }

    async fn time_is_up(&self) {
        let _ = self.shared.over.recv().await;
    }

    async fn pause(&self, span: Duration) {
        if span > Duration::ZERO {
            self.runtime.sleep_until(self.runtime.now().after(span)).await;
        }
    }
}
