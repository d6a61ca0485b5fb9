//! A connection and the bench beside it, on which the connector's methods work on it without a new box
//! for each call.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use crossbeam_utils::CachePadded;
use qorb_core::pool::{Failure, Return, SlotId, Ticket};
use qorb_core::{Backend, Timestamp};
use sync_wrapper::SyncWrapper;

use crate::connector::Connector;
use crate::effects::Place;
use crate::error::{Panicked, SharedError};

/// What the driver keeps of a backend, shared with its connections.
pub(crate) struct Record {
    pub(crate) backend: Backend,
    /// Its address as text, for probes.
    pub(crate) address: String,
    /// Whether its connections are worth recycling: it is in the set, and the pool has not ended.
    wanted: AtomicBool,
}

impl Record {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { address: backend.address.to_string(), backend, wanted: AtomicBool::new(true) }
    }

    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn set_wanted(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }
}

/// How one of the connector's methods failed.
pub(crate) enum Trouble<E> {
    /// It said so.
    Error(E),
    /// It panicked.
    Panicked(Panicked),
}

impl<E: std::error::Error + Send + Sync + 'static> Trouble<E> {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Error(_) => Failure::Error,
            Self::Panicked(_) => Failure::Panicked,
        }
    }

    pub(crate) fn share(self) -> SharedError {
        match self {
            Self::Error(error) => Arc::new(error),
            Self::Panicked(panic) => Arc::new(panic),
        }
    }
}

/// What comes of one call of the connector.
pub(crate) type Outcome<T, K> = Result<T, Trouble<<K as Connector>::Error>>;

/// One connection, in one heap block, so that handing it on moves a pointer. What is ours comes first, in one line
/// of the cache, of 64 bytes, and no two connections share a line, so that claimers at work on them do not disturb
/// each other.
#[repr(C, align(64))]
pub(crate) struct Held<K: Connector> {
    /// Where it goes when its claimer is done with it.
    pub(crate) home: Arc<SharedHome<K>>,
    pub(crate) record: Arc<Record>,
    /// The slot's number for people.
    pub(crate) serial: u64,
    /// The ticket of the claim that has it, or had it last, without the gaps that a [`Ticket`] has.
    arrival: u64,
    deadline: Timestamp,
    /// Made when it is needed first, and away while the connection is on it. Only ever reached through
    /// `&mut`; the wrapper makes a handle `Sync` although a future is not.
    bench: SyncWrapper<Option<Box<AnyBench<K>>>>,
    pub(crate) slot: SlotId,
    failures: u8,
    /// Last, for the layout alone: so it is dropped after `home`, which may end the pool and its connector.
    pub(crate) connection: K::Connection,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    type OfOneWord = crate::ConnectorFn<fn(Backend) -> std::future::Ready<std::io::Result<usize>>>;
    assert!(size_of::<Held<OfOneWord>>() == 64, "what is ours of a connection fits a line of the cache");
};

/// What several connections know of their pool. Whoever brings one back is counted among its users for so long:
/// with one home for all everybody would count in the same place, and one for each would cost large pools much heap.
/// The count lies apart from all else.
pub(crate) type SharedHome<K> = CachePadded<Box<dyn Home<K>>>;

/// A pool, as its connections know it.
pub(crate) trait Home<K: Connector>: Send + Sync {
    /// A claimer gives back a connection that has to be recycled.
    fn recycle(&self, link: Link<K>);
    /// A claimer gives back a connection, in `place`, and says what became of it.
    fn give_back(&self, slot: SlotId, place: Place<K>, what: Return);
    /// What made it.
    fn connector(&self) -> &K;
    /// The pool's name.
    fn name(&self) -> &str;
}

/// A connection at rest.
pub(crate) struct Link<K: Connector> {
    pub(crate) held: Box<Held<K>>,
}

/// A connection with one of the connector's methods at work on it. Dropping it drops both.
pub(crate) struct Errand<K: Connector> {
    bench: Box<AnyBench<K>>,
}

/// A bench behind a pointer of one word, because it lies where every turn passes by.
type AnyBench<K> = Box<dyn Bench<K>>;

/// How far an errand came.
pub(crate) enum Progress<K: Connector> {
    /// It is still under way.
    Pending(Errand<K>),
    /// It ended; the connection is back.
    Done(Link<K>, Outcome<(), K>),
    /// Even dropping the method's future panicked: the connection is gone.
    Lost(Panicked),
}

/// Which of the connector's methods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chore {
    Check,
    Acquire,
    Recycle,
}

impl<K: Connector> Held<K> {
    #[inline]
    pub(crate) fn ticket(&self) -> Ticket {
        let Self { arrival, deadline, failures, .. } = *self;
        Ticket { arrival, deadline, failures }
    }

    #[inline]
    pub(crate) fn set_ticket(&mut self, ticket: Ticket) {
        Ticket { arrival: self.arrival, deadline: self.deadline, failures: self.failures } = ticket;
    }
}

impl<K: Connector> Link<K> {
    pub(crate) fn new(
        connection: K::Connection,
        home: Arc<SharedHome<K>>,
        record: Arc<Record>,
        slot: SlotId,
        serial: u64,
    ) -> Self {
        let (arrival, deadline, failures, bench) = (0, Timestamp::NEVER, 0, SyncWrapper::new(None));
        let held = Held { connection, home, record, serial, slot, failures, arrival, deadline, bench };
        Self { held: Box::new(held) }
    }

    /// Lets the connector do what it can do on the spot: a method whose future has no state, as those that
    /// a connector does not implement, needs no bench. `None` where it may take its time.
    ///
    /// A future of at most one byte cannot hold on to anything; one that is pending nevertheless is dropped,
    /// and the method called again on the bench.
    #[inline]
    pub(crate) fn at_once(
        &mut self,
        connector: &K,
        chore: Chore,
        cx: &mut Context<'_>,
    ) -> Option<Outcome<(), K>> {
        let connection = &mut self.held.connection;
        match chore {
            Chore::Acquire if size_of_future(|of: &K, held| of.on_acquire(held)) <= 1 => {
                poll_once(|| connector.on_acquire(connection), cx)
            }
            Chore::Recycle if size_of_future(|of: &K, held| of.on_recycle(held)) <= 1 => {
                poll_once(|| connector.on_recycle(connection), cx)
            }
            Chore::Check | Chore::Acquire | Chore::Recycle => None,
        }
    }

    /// Puts the connection to work; nothing of the connector is called before the first poll.
    pub(crate) fn start(mut self, chore: Chore) -> Errand<K> {
        let bench = self.held.bench.get_mut().take();
        let mut bench = bench
            .unwrap_or_else(|| Box::new(Box::new(Workbench { serve: serve::<K>, running: Box::pin(None) })));
        bench.start(self.held, chore);
        Errand { bench }
    }
}

impl<K: Connector> Errand<K> {
    /// Polls the connector's method. No panic of it comes through.
    pub(crate) fn poll(mut self, cx: &mut Context<'_>) -> Progress<K> {
        match catch_unwind(AssertUnwindSafe(|| self.bench.poll(cx))) {
            Ok(Poll::Pending) => Progress::Pending(self),
            Ok(Poll::Ready((mut held, outcome))) => {
                held.bench = SyncWrapper::new(Some(self.bench));
                Progress::Done(Link { held }, outcome)
            }
            Err(payload) => Progress::Lost(Panicked::new(&*payload)),
        }
    }
}

impl<K: Connector> fmt::Debug for Link<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} to {}", self.held.slot, self.held.record.backend)
    }
}

/// A connection that was worked on, and what came of it.
type Served<K> = (Box<Held<K>>, Outcome<(), K>);

/// Room for the one future that works on a connection, reused for its whole life.
trait Bench<K: Connector>: Send {
    fn start(&mut self, held: Box<Held<K>>, chore: Chore);
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Served<K>>;
}

/// The bench for futures of one type, which only the compiler can name.
struct Workbench<S, F> {
    serve: S,
    running: Pin<Box<Option<F>>>,
}

impl<K, S, F> Bench<K> for Workbench<S, F>
where
    K: Connector,
    S: Fn(Box<Held<K>>, Chore) -> F + Send,
    F: Future<Output = Served<K>> + Send,
{
    fn start(&mut self, held: Box<Held<K>>, chore: Chore) {
        let future = (self.serve)(held, chore);
        self.running.as_mut().set(Some(future));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Served<K>> {
        let running = self.running.as_mut().as_pin_mut();
        let done = running.expect("an errand has a future until it is done").poll(cx);
        if done.is_ready() {
            self.running.as_mut().set(None);
        }
        done
    }
}

/// Calls the connector on a connection and brings the connection back, whatever the connector does.
async fn serve<K: Connector>(mut held: Box<Held<K>>, chore: Chore) -> Served<K> {
    let Held { connection, home, .. } = &mut *held;
    let connector = home.connector();
    let outcome = match chore {
        Chore::Check => caught(async { connector.is_valid(connection).await }).await,
        Chore::Acquire => caught(async { connector.on_acquire(connection).await }).await,
        Chore::Recycle => caught(async { connector.on_recycle(connection).await }).await,
    };
    (held, settle(outcome))
}

/// The size of the future that a method makes, without calling it.
#[inline]
fn size_of_future<'a, K: Connector, F>(_: impl FnOnce(&'a K, &'a mut K::Connection) -> F) -> usize {
    size_of::<F>()
}

/// Calls a method and polls its future once. No panic of it comes through.
#[inline]
fn poll_once<E, F>(call: impl FnOnce() -> F, cx: &mut Context<'_>) -> Option<Result<(), Trouble<E>>>
where
    F: Future<Output = Result<(), E>>,
{
    match catch_unwind(AssertUnwindSafe(|| pin!(call()).poll(cx))) {
        Ok(Poll::Pending) => None,
        Ok(Poll::Ready(outcome)) => Some(outcome.map_err(Trouble::Error)),
        Err(payload) => Some(Err(Trouble::Panicked(Panicked::new(&*payload)))),
    }
}

/// Sorts what [`caught`] brings.
pub(crate) fn settle<T, E>(outcome: Result<Result<T, E>, Panicked>) -> Result<T, Trouble<E>> {
    outcome.map_err(Trouble::Panicked)?.map_err(Trouble::Error)
}

/// Runs a user's future to its end or its panic.
pub(crate) async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(payload) => Poll::Ready(Err(Panicked::new(&*payload))),
    })
    .await
}

/// Calls into the user's code where nothing can be done about a panic: the hook has reported it.
pub(crate) fn contain<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
