//! Those who wait for the pool itself rather than for a connection: for its end, or for it to be ready.

use std::task::Waker;

use qorb_core::pool::PoolMachine;

use crate::connector::Connector;
use crate::effects::Effects;

/// What an onlooker waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// The pool has stopped.
    Stopped,
    /// The pool has stopped, and nobody has a connection of it.
    Empty,
    /// So many connections are open, or the pool has stopped.
    Connected(usize),
}

impl Wish {
    pub(crate) fn is_granted(self, machine: &PoolMachine, stopped: bool) -> bool {
        match self {
            Self::Stopped => stopped,
            Self::Empty => stopped && machine.wanted().total() + machine.draining().total() == 0,
            Self::Connected(count) => {
                let kept = usize::from(machine.keeps_room());
                stopped || machine.wanted().connected() as usize + kept >= count
            }
        }
    }
}

/// All of them. There are few.
#[derive(Default)]
pub(crate) struct Onlookers {
    numbers: u64,
    list: Vec<(u64, Wish, Waker)>,
}

impl Onlookers {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A number for a newcomer.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Notes whom to wake, and hands out the waker from before.
    pub(crate) fn watch(&mut self, number: u64, wish: Wish, waker: Waker) -> Option<Waker> {
        let stale = self.forget(number);
        self.list.push((number, wish, waker));
        stale
    }

    pub(crate) fn forget(&mut self, number: u64) -> Option<Waker> {
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
            if self.list[index].1.is_granted(machine, stopped) {
                effects.wake(self.list.swap_remove(index).2);
            } else {
                index += 1;
            }
        }
    }
}
