//! Names that claimers give to their claims, so that people see who holds a connection.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use qorb_core::pool::SlotId;

use crate::claim::Claim;
use crate::connector::Connector;
use crate::error::ClaimError;
use crate::handle::Handle;
use crate::runtime::Runtime;

/// A claim with a label; see [`Claim::labelled`].
#[must_use = "a claim does nothing before it is awaited"]
pub struct Labelled<'a, K: Connector, R: Runtime> {
    pub(crate) claim: Claim<'a, K, R>,
    pub(crate) label: Arc<str>,
}

impl<K: Connector, R: Runtime> Future for Labelled<'_, K, R> {
    type Output = Result<Handle<K, R>, ClaimError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { claim, label } = self.get_mut();
        let answer = Pin::new(&mut *claim).poll(cx)?;
        // Who stays in `on_acquire` has a connection already.
        let slot = match &answer {
            Poll::Ready(handle) => Some(handle.slot()),
            Poll::Pending => claim.acquiring(),
        };
        if let Some(slot) = slot {
            let before = claim.shared().lock().labels.put(slot, claim.number(), Arc::clone(label));
            drop(before);
        }
        answer.map(Ok)
    }
}

impl<K: Connector, R: Runtime> fmt::Debug for Labelled<'_, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labelled").field("claim", &self.claim).field("label", &self.label).finish()
    }
}

/// The latest label of each slot that ever had one, and the number of the claim that it was given to. Nothing
/// is to be done where a connection comes back: the label of another claim is nobody's.
#[derive(Default)]
pub(crate) struct Labels(BTreeMap<SlotId, (u64, Arc<str>)>);

impl Labels {
    fn put(&mut self, slot: SlotId, claim: u64, label: Arc<str>) -> Option<(u64, Arc<str>)> {
        self.0.insert(slot, (claim, label))
    }

    pub(crate) fn of(&self, slot: SlotId, claim: u64) -> Option<Arc<str>> {
        self.0.get(&slot).filter(|(of, _)| *of == claim).map(|(_, label)| Arc::clone(label))
    }

    /// The slot is gone.
    pub(crate) fn forget(&mut self, slot: SlotId) {
        self.0.remove(&slot);
    }
}
