//! Connects, checks and recycles: each a task, each answered by exactly one completion, whatever
//! becomes of it.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use qorb_core::Timestamp;
use qorb_core::pool::{Event, Failure, SlotId};

use crate::connector::Connector;
use crate::effects::{Cancel, Start};
use crate::error::SharedError;
use crate::link::{Errand, Link, Outcome, Progress, Record, Trouble, caught, settle};
use crate::runtime::Runtime;
use crate::shared::Shared;

/// Starts one operation as a task of its own.
pub(crate) fn start<K: Connector, R: Runtime>(shared: &Arc<Shared<K, R>>, start: Start<K>) {
    match start {
        Start::Connect { slot, serial, record, cancel } => {
            let watch = Watch::new(shared, slot, Kind::Connect, cancel);
            run(shared, connect(watch, record, serial));
        }
        Start::Check { slot, errand, cancel } => {
            let watch = Watch::new(shared, slot, Kind::Check, cancel);
            run(shared, work(watch, errand));
        }
        Start::Recycle { slot, errand, cancel } => {
            let watch = Watch::new(shared, slot, Kind::Recycle, cancel);
            run(shared, work(watch, errand));
        }
    }
}

/// Spawns a task. Not even a panic in a destructor reaches the runtime, which might take it badly; the
/// operation's [`Watch`] has answered for it by then.
fn run<K: Connector, R: Runtime>(
    shared: &Shared<K, R>,
    operation: impl Future<Output = ()> + Send + 'static,
) {
    shared.runtime.spawn(async move {
        let _ = caught(operation).await;
    });
}

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Connect,
    Check,
    Recycle,
}

impl Kind {
    /// The event that answers it.
    pub(crate) fn ended(self, slot: SlotId, result: Result<(), Failure>) -> Event {
        match self {
            Self::Connect => Event::Connected(slot, result),
            Self::Check => Event::Checked(slot, result),
            Self::Recycle => Event::Recycled(slot, result),
        }
    }
}

/// How an operation ended: the connection, unless it is lost, the result, and the error for people.
pub(crate) struct End<K: Connector> {
    pub(crate) link: Option<Link<K>>,
    pub(crate) result: Result<(), Failure>,
    pub(crate) error: Option<SharedError>,
    /// When it began, where that is measured: a connect that went well.
    pub(crate) began: Option<Timestamp>,
}

impl<K: Connector> End<K> {
    fn well(link: Option<Link<K>>) -> Self {
        Self { link, result: Ok(()), error: None, began: None }
    }

    fn badly(link: Option<Link<K>>, trouble: Trouble<K::Error>) -> Self {
        Self { link, result: Err(trouble.failure()), error: Some(trouble.share()), began: None }
    }

    fn lost(failure: Failure) -> Self {
        Self { link: None, result: Err(failure), error: None, began: None }
    }
}

/// Sees to it that an operation is answered for: by its end, its panic, or its task's being dropped.
struct Watch<K: Connector, R: Runtime> {
    shared: Arc<Shared<K, R>>,
    slot: SlotId,
    kind: Kind,
    cancel: Arc<Cancel>,
    answered: bool,
}

impl<K: Connector, R: Runtime> Watch<K, R> {
    fn new(shared: &Arc<Shared<K, R>>, slot: SlotId, kind: Kind, cancel: Arc<Cancel>) -> Self {
        Self { shared: Arc::clone(shared), slot, kind, cancel, answered: false }
    }

    /// Runs the operation's future, and drops it before this returns. `None`: it was given up.
    async fn run<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match self.cancel.poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => future.as_mut().poll(cx).map(Some),
        })
        .await
    }

    fn answer(&mut self, end: End<K>) {
        if !mem::replace(&mut self.answered, true) {
            self.shared.finish(self.slot, self.kind, end);
        }
    }
}

impl<K: Connector, R: Runtime> Drop for Watch<K, R> {
    /// An operation that nobody gave up and that ends all the same was dropped by its runtime, which
    /// will run no other: the pool ends with it.
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let panicking = std::thread::panicking();
        let failure = if panicking { Failure::Panicked } else { Failure::Aborted };
        if !panicking && !self.cancel.is_asked() {
            self.shared.shut_down();
        }
        self.answer(End::lost(failure));
    }
}

async fn connect<K: Connector, R: Runtime>(mut watch: Watch<K, R>, record: Arc<Record>, serial: u64) {
    let connector = Arc::clone(&watch.shared.connector);
    let began = watch.shared.now();
    let outcome = watch.run(caught(async { connector.connect(&record.backend).await })).await;
    watch.answer(match outcome.map(settle) {
        Some(Ok(connection)) => {
            let home = watch.shared.home(watch.slot);
            let link = Link::new(connection, home, record, watch.slot, serial);
            End { began: Some(began), ..End::well(Some(link)) }
        }
        Some(Err(trouble)) => End::badly(None, trouble),
        None => End::lost(Failure::Aborted),
    });
}

/// A check or a recycle. Where a panic has destroyed the connection before, there is nothing to do.
async fn work<K: Connector, R: Runtime>(mut watch: Watch<K, R>, errand: Option<Errand<K>>) {
    let Some(errand) = errand else {
        return watch.answer(End::lost(Failure::Panicked));
    };
    let outcome = watch.run(finish(errand)).await;
    watch.answer(match outcome {
        Some((link, Ok(()))) => End::well(link),
        Some((link, Err(trouble))) => End::badly(link, trouble),
        None => End::lost(Failure::Aborted),
    });
}

/// Runs an errand to its end.
async fn finish<K: Connector>(errand: Errand<K>) -> (Option<Link<K>>, Outcome<(), K>) {
    let mut errand = Some(errand);
    poll_fn(|cx| match errand.take().expect("it is not over").poll(cx) {
        Progress::Pending(rest) => {
            errand = Some(rest);
            Poll::Pending
        }
        Progress::Done(link, outcome) => Poll::Ready((Some(link), outcome)),
        Progress::Lost(panic) => Poll::Ready((None, Err(Trouble::Panicked(panic)))),
    })
    .await
}
