//! The pools of a server, and one snapshot of each for all who ask at the same moment.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use qorb_core::Timestamp;
use serde_json::json;

use super::Serve;
use super::answer::Answer;
use super::frame::{Frame, label};
use crate::connector::Connector;
use crate::explain::Explanation;
use crate::onlookers::{Wish, watch};
use crate::pool::Pool;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::stats::Stats;

/// How long a snapshot is the same moment's, unless the set of backends changes.
pub(super) const MOMENT: Duration = Duration::from_millis(50);

/// A pool, whatever its connector and its runtime.
trait Watched: Send + Sync {
    /// The number of its set of backends; none once it has ended.
    fn set(&self) -> Option<u64>;

    /// What it is doing; nothing once it is gone.
    fn stats(&self) -> Option<Stats>;

    /// Why; nothing once it is gone.
    fn explain(&self) -> Option<Explanation>;

    /// Waits until its set is another than the one of this number, or the pool has ended.
    fn changed(&self, seen: u64) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl<K: Connector, R: Runtime> Watched for Weak<Shared<K, R>> {
    fn set(&self) -> Option<u64> {
        let shared = self.upgrade()?;
        let state = shared.lock();
        (!state.stopped).then(|| state.onlookers.set())
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.upgrade()?.stats())
    }

    fn explain(&self) -> Option<Explanation> {
        Some(self.upgrade()?.explain())
    }

    fn changed(&self, seen: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(watch(Weak::clone(self), Wish::Set(seen)))
    }
}

/// A pool under the name by which clients know it.
pub(super) struct Served {
    pub(super) name: String,
    watched: Box<dyn Watched>,
    latest: Mutex<Option<Arc<Frame>>>,
    explained: Mutex<Option<(Timestamp, Arc<str>)>>,
}

impl Served {
    /// What the pool is doing at this moment; nothing once it is gone.
    pub(super) fn frame<R: Serve>(&self, runtime: &R) -> Option<Arc<Frame>> {
        let mut latest = self.latest.lock();
        let now = runtime.now();
        // Before the snapshot is taken: a change in between is seen once more.
        let set = self.watched.set();
        if let Some(frame) = &*latest
            && (frame.set, now.since(frame.at) < MOMENT) == (set, true)
        {
            return Some(Arc::clone(frame));
        }
        let frame = Arc::new(Frame::new(self.stats()?, set, now, runtime.date()));
        *latest = Some(Arc::clone(&frame));
        Some(frame)
    }

    /// What the pool is doing now.
    pub(super) fn stats(&self) -> Option<Stats> {
        Some(Stats { name: self.name.clone(), ..self.watched.stats()? })
    }

    /// Why it does that, as JSON, no more than once for all who ask at the same moment: it takes a copy of the
    /// whole machine.
    pub(super) fn explanation<R: Runtime>(&self, runtime: &R) -> Option<Arc<str>> {
        let mut explained = self.explained.lock();
        let now = runtime.now();
        if let Some((at, text)) = &*explained
            && now.since(*at) < MOMENT
        {
            return Some(Arc::clone(text));
        }
        let Explanation { queue, backends, .. } = self.watched.explain()?;
        let backends: BTreeMap<_, _> =
            backends.into_iter().map(|of| (label(&of.backend), of.sentence)).collect();
        let object = json!({
            "version": Frame::VERSION, "name": self.name, "queue": queue.sentence, "backends": backends,
        });
        let text = Arc::<str>::from(object.to_string());
        *explained = Some((now, Arc::clone(&text)));
        Some(text)
    }

    /// Waits until there is another set of backends to show, or the pool has ended.
    pub(super) async fn changed(&self, seen: Option<u64>) {
        if let Some(seen) = seen {
            self.watched.changed(seen).await;
        }
    }
}

/// All of them, in the order in which they came.
#[derive(Default)]
pub(super) struct Pools(Mutex<Vec<Arc<Served>>>);

impl Pools {
    pub(super) fn add<K: Connector, R: Runtime>(&self, pool: &Pool<K, R>) {
        let taken = self.all();
        let is_free = |name: &String| taken.iter().all(|of| of.name != *name);
        let names = (1_u32..).map(|number| match number {
            1 => pool.name().to_owned(),
            _ => format!("{}-{number}", pool.name()),
        });
        let name = { names }.find(is_free).expect("there are fewer pools than numbers");
        let watched = Box::new(pool.watched());
        self.0.lock().push(Arc::new(Served {
            name,
            watched,
            latest: Mutex::new(None),
            explained: Mutex::new(None),
        }));
    }

    /// Those that have not ended; the others are forgotten.
    pub(super) fn all(&self) -> Vec<Arc<Served>> {
        let mut all = self.0.lock();
        all.retain(|pool| pool.watched.set().is_some());
        all.clone()
    }

    /// The names, as JSON.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self.all().iter().map(|pool| pool.name.clone()).collect();
        json!({ "version": Frame::VERSION, "pools": names }).to_string()
    }

    /// The pool of this name, or the first one.
    pub(super) fn find(&self, name: Option<&str>) -> Result<Arc<Served>, Answer> {
        let all = self.all();
        let found = all.iter().find(|pool| name.is_none_or(|name| pool.name == name));
        found.cloned().ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|pool| pool.name.escape_debug().to_string()).collect();
            Answer::refusal(404, format!("there is no such pool; there are: {}", names.join(", ")))
        })
    }
}
