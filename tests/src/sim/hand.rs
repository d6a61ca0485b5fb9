//! A future polled by hand: when the test says so, and never otherwise.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future and a waker that only counts.
pub struct Hand<F> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
}

struct Woken {
    times: AtomicUsize,
    then: Box<dyn Fn() + Send + Sync>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.times.fetch_add(1, Ordering::Relaxed);
        (self.then)();
    }
}

impl<F: Future> Hand<F> {
    /// A future that was not polled yet.
    pub fn new(future: F) -> Self {
        Self::calling(future, || {})
    }

    /// The same; whenever it is woken, `then` is called by whoever wakes it.
    pub fn calling(future: F, then: impl Fn() + Send + Sync + 'static) -> Self {
        let woken = Woken { times: AtomicUsize::new(0), then: Box::new(then) };
        Self { future: Box::pin(future), woken: Arc::new(woken) }
    }

    /// Polls it once.
    pub fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// The future itself, to be asked how far it is.
    pub fn future(&self) -> &F {
        &self.future
    }

    /// How often it was woken.
    pub fn woken(&self) -> usize {
        self.woken.times.load(Ordering::Relaxed)
    }
}

impl<F> std::fmt::Debug for Hand<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hand, woken {} times", self.woken.times.load(Ordering::Relaxed))
    }
}
