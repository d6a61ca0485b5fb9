//! One claimer at work, and what can be seen of it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qorb_driver::{ClaimError, Connector, Denial, Handle, Pool, Runtime};
use smol::channel::{Receiver, Sender, bounded};
use smol::future::or;

use crate::exchange::Exchange;
use crate::load::{Shared, describe};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a claimer rests after it was denied: some denials come at once.
const REST: Duration = Duration::from_millis(100);

/// What a claimer is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// It waits for a connection.
    Waiting,
    /// It waits for an answer.
    Asking,
    /// It holds its connection.
    Holding,
    /// It was denied, and rests.
    Resting,
}

/// A claimer, as it is seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// What it is at.
    pub doing: Doing,
    /// How long it holds its connections.
    pub hold: Duration,
    /// Requests that were answered.
    pub successes: u64,
    /// Requests that were cut off.
    pub server_failures: u64,
    /// Claims that got no connection.
    pub claim_failures: u64,
}

/// What is known of a claimer by others, and told to it.
#[derive(Debug)]
pub(crate) struct Card {
    number: usize,
    seen: Mutex<Seen>,
    /// Nothing is ever sent: it is closed when the claimer is to go.
    home: Receiver<Infallible>,
    _stay: Sender<Infallible>,
}

impl Card {
    pub(crate) fn new(number: usize, hold: Duration) -> Self {
        let (stay, home) = bounded(1);
        let seen = Seen { doing: Doing::Waiting, hold, successes: 0, server_failures: 0, claim_failures: 0 };
        Self { number, seen: Mutex::new(seen), home, _stay: stay }
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.lock()
    }

    pub(crate) fn set_hold(&self, hold: Duration) {
        self.lock().hold = hold;
    }

    pub(crate) fn send_home(&self) {
        self.home.close();
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_at(&self, doing: Doing) {
        self.lock().doing = doing;
    }
}

/// Claims, says something, holds on, says something more, and begins anew.
pub(crate) struct Claimer<K: Connector, R: Runtime> {
    runtime: R,
    pool: Pool<K, R>,
    shared: Arc<Shared>,
    card: Arc<Card>,
    request: Vec<u8>,
    _present: Option<Sender<()>>,
}

impl<K: Connector<Connection: Exchange>, R: Runtime> Claimer<K, R> {
    pub(crate) fn new(
        runtime: &R,
        pool: &Pool<K, R>,
        shared: &Arc<Shared>,
        card: Arc<Card>,
        present: Option<Sender<()>>,
    ) -> Self {
        let request = format!("claimer {} was here\n", card.number).into_bytes();
        let (runtime, pool, shared) = (runtime.clone(), pool.clone(), Arc::clone(shared));
        Self { runtime, pool, shared, card, request, _present: present }
    }

    pub(crate) async fn work(self) {
        while !self.shared.over.is_closed() && !self.card.home.is_closed() {
            // A request that was cut off is made again, even when time is up.
            while !self.request().await {}
        }
    }

    /// Whether there is nothing left to do about this request.
    async fn request(&self) -> bool {
        self.card.is_at(Doing::Waiting);
        let claimed = async { Some(self.pool.claim().await) };
        let sent_home = async {
            let _ = self.card.home.recv().await;
            None
        };
        match or(claimed, sent_home).await {
            Some(Ok(handle)) => {
                self.granted(&handle);
                let answered = self.converse(handle).await;
                let mut seen = self.card.lock();
                *(if answered { &mut seen.successes } else { &mut seen.server_failures }) += 1;
                answered
            }
            Some(Err(error)) => {
                self.card.lock().claim_failures += 1;
                self.denied(&error).await;
                true
            }
            None => true,
        }
    }

    /// Whether all of it was answered.
    async fn converse(&self, mut handle: Handle<K, R>) -> bool {
        let granted = self.runtime.now();
        let mut answer = self.say(&mut handle).await;
        if answer.is_ok() {
            self.card.is_at(Doing::Holding);
            let hold = self.card.seen().hold;
            or(self.pause(hold), self.time_is_up()).await;
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
        self.card.is_at(Doing::Asking);
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
            self.card.is_at(Doing::Resting);
            self.pause(REST).await;
        }
    }

    async fn time_is_up(&self) {
        let over = async {
            let _ = self.shared.over.recv().await;
        };
        let sent_home = async {
            let _ = self.card.home.recv().await;
        };
        or(over, sent_home).await;
    }

    async fn pause(&self, span: Duration) {
        if span > Duration::ZERO {
            self.runtime.sleep_until(self.runtime.now().after(span)).await;
        }
    }
}
