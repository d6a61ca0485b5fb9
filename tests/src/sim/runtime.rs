//! The runtime as tasks see it.

use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use qorb_core::Timestamp;
use qorb_driver::{NoRuntime, Runtime};

use super::net::{SimTcp, SimUdp};
use super::{BEGINNING, CURRENT, INSIDE, Inner};

/// The runtime.
#[derive(Clone)]
pub struct Sim {
    pub(super) inner: Arc<Mutex<Inner>>,
}

/// A task, which is its own waker.
pub(super) struct Task {
    number: u64,
    sim: Sim,
    queued: AtomicBool,
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl Sim {
    /// Time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now().since(BEGINNING)
    }

    /// Sleeps for a while.
    pub fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.sleep_until(self.now().after(span))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for Sim {
    type Udp = SimUdp;
    type Tcp = SimTcp;

    fn current() -> Result<Self, NoRuntime> {
        CURRENT.with_borrow(Clone::clone).ok_or(NoRuntime)
    }

    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn entropy(&self) -> [u8; 32] {
        let mut inner = self.lock();
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&inner.dice.draw().to_le_bytes());
        }
        bytes
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut inner = self.lock();
        inner.spawned += 1;
        if inner.gone {
            drop(inner);
            return drop(task);
        }
        let number = inner.next;
        inner.next += 1;
        inner.ready.push(number);
        let future = Mutex::new(Some(Box::pin(task) as _));
        let task = Task { number, sim: self.clone(), queued: AtomicBool::new(true), future };
        inner.tasks.insert(number, Arc::new(task));
    }

    fn sleep_until(&self, time: Timestamp) -> impl Future<Output = ()> + Send + 'static {
        Sleep { sim: self.clone(), time, number: None }
    }

    async fn udp(&self, to: SocketAddr) -> io::Result<SimUdp> {
        SimUdp::connect(self, to)
    }

    async fn tcp(&self, to: SocketAddr) -> io::Result<SimTcp> {
        SimTcp::connect(self, to).await
    }

    fn enter<T>(&self, call: impl FnOnce() -> T) -> T {
        let _guard = Inside::new();
        call()
    }
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sim at {:?}", self.elapsed())
    }
}

impl Task {
    /// Drops what it runs, whoever may still wake it.
    pub(super) fn end(&self) {
        let future = self.future.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _guard = Inside::new();
        drop(future);
    }

    pub(super) fn run(self: Arc<Self>) {
        self.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self));
        let taken = self.future.lock().unwrap_or_else(PoisonError::into_inner).take();
        // One that panics is not dropped: what it holds may panic too, and two are the end of the program.
        let Some(mut future) = taken.map(ManuallyDrop::new) else { return };
        let _guard = Inside::new();
        let is_done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let future = ManuallyDrop::into_inner(future);
        if is_done {
            drop(future);
            self.sim.lock().tasks.remove(&self.number);
        } else if !self.sim.lock().gone {
            *self.future.lock().unwrap_or_else(PoisonError::into_inner) = Some(future);
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let mut inner = self.sim.lock();
            if inner.tasks.contains_key(&self.number) {
                inner.ready.push(self.number);
            }
        }
    }
}

/// While it lives, this thread is in the runtime.
pub(super) struct Inside;

impl Inside {
    pub(super) fn new() -> Self {
        INSIDE.set(INSIDE.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

struct Sleep {
    sim: Sim,
    time: Timestamp,
    /// Of its timer, once it has been polled.
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let sim = self.sim.clone();
        let mut inner = sim.lock();
        if inner.now >= self.time {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert_with(|| {
            inner.slept += 1;
            inner.next += 1;
            inner.next
        });
        if !self.time.is_never() {
            let stale = inner.timers.insert((self.time, number), waker);
            drop(inner);
            drop(stale);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let stale = self.sim.lock().timers.remove(&(self.time, number));
            drop(stale);
        }
    }
}
