//! What a resolver tells those who read logs: DEBUG for what it asks and hears, INFO for changes of the set,
//! WARN for what goes wrong.

use qorb_core::Backend;
use qorb_core::dns::Note;

/// Tells `tracing`; of complaints that come again and again, the first, second, fourth, eighth and so on.
#[derive(Default)]
pub(super) struct Log {
    #[cfg(feature = "tracing")]
    complaints: complaints::Complaints,
    /// The latest set.
    #[cfg(feature = "tracing")]
    set: std::collections::BTreeSet<(std::sync::Arc<str>, std::net::SocketAddr)>,
}

#[cfg(not(feature = "tracing"))]
impl Log {
    /// Tells nobody.
    pub(super) fn note(&mut self, _service: &str, _note: &Note) {}

    /// Tells nobody.
    pub(super) fn set(&mut self, _service: &str, _set: &[Backend]) {}
}

#[cfg(feature = "tracing")]
impl Log {
    /// Tells of something that the machine did.
    pub(super) fn note(&mut self, service: &str, note: &Note) {
        crate::link::contain(|| self.tell(service, "backends", note));
    }

    /// Tells of a change.
    pub(super) fn set(&mut self, service: &str, set: &[Backend]) {
        let set = set.iter().map(|backend| (backend.name.clone(), backend.address)).collect();
        let before = std::mem::replace(&mut self.set, set);
        let (added, removed) = (self.set.difference(&before).count(), before.difference(&self.set).count());
        crate::link::contain(|| {
            tracing::info!(service, backends = self.set.len(), added, removed, "another set");
        });
    }

    /// `sought` tells the search for the service from the one for servers to ask.
    fn tell(&mut self, service: &str, sought: &str, note: &Note) {
        if !self.complain(service, sought, note) {
            inform(service, sought, note);
        }
    }

    /// Tells what went wrong, if anything did.
    #[expect(clippy::wildcard_enum_match_arm, reason = "notes are an open set; most are no complaints")]
    fn complain(&mut self, service: &str, sought: &str, note: &Note) -> bool {
        match note {
            Note::Discovery(note) => self.tell(service, "servers", note),
            Note::ServerFailed { server, why, failures } => {
                // One that fails now and then is told of ever less often.
                let told = failures.is_power_of_two();
                if told && (*failures > 1 || self.complaints.failed(*server)) {
                    tracing::warn!(service, sought, %server, %why, failures, "a server failed");
                }
            }
            Note::Dropped { server, records, why } => {
                if let Some(times) = self.complaints.again(*server, Some(*why)) {
                    tracing::warn!(service, sought, %server, records, %why, times, "records were not used");
                }
            }
            Note::Flooded { server, question } => {
                if let Some(times) = self.complaints.again(*server, None) {
                    tracing::warn!(service, sought, %server, %question, times, "flooded with wrong answers");
                }
            }
            Note::LeftOut { backends } => {
                if let Some(times) = self.complaints.crowded(sought) {
                    tracing::warn!(service, sought, backends, times, "backends were left out");
                }
            }
            Note::ServersLeftOut { servers } => {
                if let Some(times) = self.complaints.crowded("appointed") {
                    tracing::warn!(service, servers, times, "servers were left out");
                }
            }
            Note::Lapsed { server } => {
                tracing::warn!(service, sought, %server, "a server failed for so long that its word lapsed");
            }
            Note::Stale { .. } => {
                if let Some(times) = self.complaints.crowded("stale") {
                    tracing::warn!(service, sought, times, "nobody confirms the set; it is kept");
                }
            }
            Note::ServerDismissed { server } => {
                self.complaints.forget(*server);
                return false;
            }
            _ => return false,
        }
        true
    }
}

/// Tells what is as it should be.
#[cfg(feature = "tracing")]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "notes are an open set: one that nobody knows is told as it is"
)]
fn inform(service: &str, sought: &str, note: &Note) {
    match note {
        Note::RoundStarted { round, servers } => {
            tracing::debug!(service, sought, round, servers, "a round began");
        }
        Note::Asked { server, question, channel, attempt, .. } => {
            tracing::debug!(service, sought, %server, %question, ?channel, attempt, "asked");
        }
        Note::Answered { server, question, answer, took, .. } => {
            tracing::debug!(service, sought, %server, %question, %answer, ?took, "answered");
        }
        Note::Ignored { query, why } => tracing::debug!(service, sought, ?query, %why, "ignored a message"),
        Note::Unanswered { server, question, why } => {
            tracing::debug!(service, sought, %server, %question, %why, "no answer");
        }
        Note::EdnsRefused { server } => tracing::debug!(service, sought, %server, "knows no EDNS"),
        Note::ServerAppointed { server } => tracing::info!(service, %server, "a server was discovered"),
        Note::ServerDismissed { server } => {
            tracing::info!(service, %server, "a server is not asked any more")
        }
        Note::RoundEnded { round, positive, negative, failed, .. } => {
            tracing::debug!(service, sought, round, positive, negative, failed, "a round ended");
        }
        other => tracing::debug!(service, sought, note = ?other, "noted"),
    }
}

#[cfg(feature = "tracing")]
mod complaints {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use qorb_core::dns::Unusable;

    /// How often each was made.
    #[derive(Default)]
    pub(super) struct Complaints {
        of_servers: BTreeMap<(SocketAddr, Option<Unusable>), u32>,
        of_crowds: BTreeMap<String, u32>,
        failures: BTreeMap<SocketAddr, u32>,
    }

    impl Complaints {
        /// How often this one has been made of a server, if it is time to say so again.
        pub(super) fn again(&mut self, server: SocketAddr, why: Option<Unusable>) -> Option<u32> {
            count(self.of_servers.entry((server, why)).or_default())
        }

        /// The same of too many of something.
        pub(super) fn crowded(&mut self, what: &str) -> Option<u32> {
            count(self.of_crowds.entry(what.to_owned()).or_default())
        }

        /// Whether it is time to say that a server failed once more.
        pub(super) fn failed(&mut self, server: SocketAddr) -> bool {
            count(self.failures.entry(server).or_default()).is_some()
        }

        /// A server is gone, and what was said of it.
        pub(super) fn forget(&mut self, server: SocketAddr) {
            self.of_servers.retain(|(of, _), _| *of != server);
            self.failures.remove(&server);
        }
    }

    fn count(times: &mut u32) -> Option<u32> {
        *times = times.saturating_add(1);
        times.is_power_of_two().then_some(*times)
    }
}
