//! A resolver that says what the test wants it to say.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use qorb_core::Backend;
use qorb_driver::{StreamResolver, from_stream};

/// Where a test publishes sets.
#[derive(Clone, Debug, Default)]
pub struct Announcer {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    sets: VecDeque<Vec<Backend>>,
    waker: Option<Waker>,
    ended: bool,
    heard: bool,
}

/// The resolver's end.
#[derive(Debug)]
pub struct Sets {
    state: Arc<Mutex<State>>,
}

/// A backend named `name`: each name has an address of its own.
#[must_use]
pub fn backend(name: &str) -> Backend {
    let host = name.bytes().fold(17_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(byte)));
    let [high, low] = host.to_be_bytes();
    Backend::new(name, ([10, 0, high, low], 4000).into())
}

impl Announcer {
    /// A resolver that has said nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Its other end, for the pool.
    #[must_use]
    pub fn resolver(&self) -> StreamResolver<Sets> {
        self.with(|state| state.heard = true);
        from_stream(Sets { state: Arc::clone(&self.state) })
    }

    /// Publishes a set of backends of these names.
    pub fn publish(&self, names: &[&str]) {
        self.publish_set(names.iter().map(|name| backend(name)).collect());
    }

    /// Publishes a set.
    pub fn publish_set(&self, set: Vec<Backend>) {
        self.with(|state| state.sets.push_back(set));
    }

    /// Says that this was all.
    pub fn end(&self) {
        self.with(|state| state.ended = true);
    }

    /// Whether a pool still listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).heard
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Stream for Sets {
    type Item = Vec<Backend>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<Backend>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = state.sets.pop_front() {
            return Poll::Ready(Some(set));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sets {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).heard = false;
    }
}
