//! The one timer of a pool: a task that sleeps until the machine's next deadline.
//!
//! While connections come and go it also looks at the clock ten times a second, so that not every one of them
//! has to: reading a clock is a fifth of what a claim and its release cost.
//!
//! It does not keep the pool alive while it sleeps, is woken only for an earlier deadline than the one
//! it sleeps for, and does not sleep at all while there is none.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use qorb_core::pool::Event;
use qorb_core::{Machine, Timestamp};

use crate::connector::Connector;
use crate::effects::Effects;
use crate::runtime::Runtime;
use crate::shared::Shared;

/// How far the machine's time may be behind where it is good enough.
const GLANCE: Duration = Duration::from_millis(100);

/// What the alarm is set to. It lives under the pool's lock.
pub(crate) struct Alarm {
    /// What the task sleeps for, or has been woken to sleep for.
    aimed: Timestamp,
    waker: Option<Waker>,
    /// When the task looks at the clock next; never, while nobody relies on that.
    glance: Timestamp,
    /// Somebody relied on it since the last time.
    relied_on: bool,
    ended: bool,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            aimed: Timestamp::NEVER,
            waker: None,
            glance: Timestamp::NEVER,
            relied_on: false,
            ended: false,
        }
    }
}

impl Alarm {
    /// Makes sure that the task does not sleep past `deadline`.
    #[inline]
    pub(crate) fn aim<K: Connector>(&mut self, deadline: Option<Timestamp>, effects: &mut Effects<K>) {
        let deadline = deadline.unwrap_or(Timestamp::NEVER);
        if deadline < self.aimed {
            self.aimed = deadline;
            self.rouse(effects);
        }
    }

    /// Whether the machine's time is at most a tenth of a second old, and stays so.
    #[inline]
    pub(crate) fn keeps_time(&mut self) -> bool {
        // What is only read here stays in the caches of all.
        if !self.relied_on {
            self.relied_on = true;
        }
        !self.glance.is_never()
    }

    /// Looks at the clock from now on.
    pub(crate) fn keep_time<K: Connector>(&mut self, now: Timestamp, effects: &mut Effects<K>) {
        self.glance = now.after(GLANCE);
        self.aim(Some(self.glance), effects);
    }

    /// Somebody looked at the clock; whether the machine should hear of it.
    fn glanced(&mut self, now: Timestamp) -> bool {
        let due = self.glance <= now;
        if due {
            let relied_on = std::mem::take(&mut self.relied_on);
            self.glance = if relied_on { now.after(GLANCE) } else { Timestamp::NEVER };
        }
        due
    }

    /// Lets the task end.
    pub(crate) fn end<K: Connector>(&mut self, effects: &mut Effects<K>) {
        self.ended = true;
        self.rouse(effects);
    }

    fn rouse<K: Connector>(&mut self, effects: &mut Effects<K>) {
        if let Some(waker) = self.waker.take() {
            effects.wake(waker);
        }
    }
}

/// Runs the alarm as a task.
pub(crate) fn start<K: Connector, R: Runtime>(shared: &Arc<Shared<K, R>>) {
    let runtime = shared.runtime.clone();
    let life = Life(Arc::downgrade(shared));
    shared.runtime.spawn(async move {
        while let Some(due) = life.next(None).await {
            if life.sleep(&runtime, due).await {
                life.ring();
            }
        }
    });
}

/// The task's hold on its pool. When a task is dropped before the pool's end, the runtime is gone, and
/// the pool ends.
struct Life<K: Connector, R: Runtime>(Weak<Shared<K, R>>);

impl<K: Connector, R: Runtime> Life<K, R> {
    /// Waits until there is a deadline other than `known`; `None` at the end of the pool.
    async fn next(&self, known: Option<Timestamp>) -> Option<Timestamp> {
        poll_fn(|cx| self.poll_next(known, cx)).await
    }

    fn poll_next(&self, known: Option<Timestamp>, cx: &Context<'_>) -> Poll<Option<Timestamp>> {
        let Some(shared) = self.0.upgrade() else { return Poll::Ready(None) };
        let waker = cx.waker().clone();
        let mut state = shared.lock();
        if state.alarm.ended {
            return Poll::Ready(None);
        }
        let aimed = state.alarm.aimed;
        if !aimed.is_never() && known != Some(aimed) {
            return Poll::Ready(Some(aimed));
        }
        let stale = state.alarm.waker.replace(waker);
        drop(state);
        drop(stale);
        Poll::Pending
    }

    /// Whether it slept until `due`; else there is an earlier deadline, or the pool ends.
    async fn sleep(&self, runtime: &R, due: Timestamp) -> bool {
        let mut sleep = pin!(runtime.sleep_until(due));
        poll_fn(|cx| match self.poll_next(Some(due), cx) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending => sleep.as_mut().poll(cx).map(|()| true),
        })
        .await
    }

    /// Tells the machine that time has passed, and sets the alarm anew.
    fn ring(&self) {
        let Some(shared) = self.0.upgrade() else { return };
        let now = shared.now();
        let mut effects = Effects::new();
        let mut state = shared.lock();
        let due = state.machine.deadline().is_some_and(|deadline| deadline <= now);
        if state.alarm.glanced(now) || due {
            state.handle(now, Event::Tick, &mut effects);
        }
        let deadline = state.machine.deadline().unwrap_or(Timestamp::NEVER);
        state.alarm.aimed = deadline.min(state.alarm.glance);
        drop(state);
        shared.carry_out(effects);
    }
}

impl<K: Connector, R: Runtime> Drop for Life<K, R> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.shut_down();
        }
    }
}
