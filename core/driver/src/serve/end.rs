//! The end of a server, which many tasks wait for.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Announced once.
#[derive(Default)]
pub(super) struct End(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    announced: bool,
    numbers: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl End {
    pub(super) fn announce(&self) {
        let wakers = {
            let mut waiting = self.0.lock();
            waiting.announced = true;
            std::mem::take(&mut waiting.wakers)
        };
        for waker in wakers.into_values() {
            waker.wake();
        }
    }

    /// Ready once it is announced.
    pub(super) fn wait(&self) -> Wait<'_> {
        let mut waiting = self.0.lock();
        waiting.numbers += 1;
        Wait { end: self, number: waiting.numbers }
    }
}

/// One task that waits.
pub(super) struct Wait<'end> {
    end: &'end End,
    number: u64,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut waiting = self.end.0.lock();
        if waiting.announced {
            return Poll::Ready(());
        }
        let stale = waiting.wakers.insert(self.number, waker);
        drop(waiting);
        drop(stale);
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let stale = self.end.0.lock().wakers.remove(&self.number);
        drop(stale);
    }
}
