//! Those who wait for the pool itself rather than for a connection: for its end, for it to be ready, or for
//! another set of backends.

use std::future::poll_fn;
use std::sync::Weak;
use std::task::{Poll, Waker};

use qorb_core::pool::PoolMachine;

use crate::connector::Connector;
use crate::effects::Effects;
use crate::runtime::Runtime;
use crate::shared::Shared;

/// What an onlooker waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// The pool has stopped.
    Stopped,
    /// The pool has stopped, and nobody has a connection of it.
    Empty,
    /// So many connections are open, or the pool has stopped.
    Connected(usize),
    /// The set of backends is another than the one of this number, or the pool has stopped.
    #[cfg(feature = "qtop")]
    Set(u64),
}

/// All of them. There are few.
#[derive(Default)]
pub(crate) struct Onlookers {
    /// How often the set of backends has changed.
    sets: u64,
    numbers: u64,
    list: Vec<(u64, Wish, Waker)>,
}

impl Onlookers {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The set of backends is another one.
    pub(crate) fn set_changed(&mut self) {
        self.sets += 1;
    }

    /// The number of the set of backends.
    #[cfg(feature = "qtop")]
    pub(crate) fn set(&self) -> u64 {
        self.sets
    }

    fn is_granted(&self, wish: Wish, machine: &PoolMachine, stopped: bool) -> bool {
        match wish {
            Wish::Stopped => stopped,
            Wish::Empty => stopped && machine.wanted().total() + machine.draining().total() == 0,
            Wish::Connected(count) => {
                let kept = usize::from(machine.keeps_room());
                stopped || machine.wanted().connected() as usize + kept >= count
            }
            #[cfg(feature = "qtop")]
            Wish::Set(seen) => stopped || self.sets != seen,
        }
    }

    /// A number for a newcomer.
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Notes whom to wake, and hands out the waker from before.
    fn watch(&mut self, number: u64, wish: Wish, waker: Waker) -> Option<Waker> {
        let stale = self.forget(number);
        self.list.push((number, wish, waker));
        stale
    }

    fn forget(&mut self, number: u64) -> Option<Waker> {
        let index = self.list.iter().position(|(of, ..)| *of == number)?;
        Some(self.list.swap_remove(index).2)
    }

    /// Wakes whoever has what they wait for.
    #[cold]
    pub(crate) fn tell<K: Connector>(
        &mut self,
        machine: &PoolMachine,
        stopped: bool,
        effects: &mut Effects<K>,
    ) {
        let mut index = 0;
        while index < self.list.len() {
            if self.is_granted(self.list[index].1, machine, stopped) {
                effects.wake(self.list.swap_remove(index).2);
            } else {
                index += 1;
            }
        }
    }
}

/// Waits until a wish is granted, or the pool is gone, which this does not keep alive.
pub(crate) async fn watch<K: Connector, R: Runtime>(shared: Weak<Shared<K, R>>, wish: Wish) {
    let Some(number) = shared.upgrade().map(|shared| shared.lock().onlookers.number()) else { return };
    let onlooker = Onlooker { shared, number };
    poll_fn(|cx| {
        let Some(shared) = onlooker.shared.upgrade() else { return Poll::Ready(()) };
        let waker = cx.waker().clone();
        let mut state = shared.lock();
        if state.onlookers.is_granted(wish, &state.machine, state.stopped) {
            return Poll::Ready(());
        }
        let stale = state.onlookers.watch(onlooker.number, wish, waker);
        drop(state);
        drop(stale);
        Poll::Pending
    })
    .await;
}

/// One who waits for the pool itself; when the future is dropped its waker goes too.
struct Onlooker<K: Connector, R: Runtime> {
    shared: Weak<Shared<K, R>>,
    number: u64,
}

impl<K: Connector, R: Runtime> Drop for Onlooker<K, R> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let stale = shared.lock().onlookers.forget(self.number);
        drop(stale);
    }
}
