//! What servers last said, and what follows from all of it together.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::answer::{Rank, Service, keep_best};
use super::note::Kind;
use super::wire::Name;
use crate::backend::Backend;
use crate::time::Timestamp;

/// What one server last said about the service. Whether it is fresh or stale follows from the time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum View {
    /// Nothing, or nothing that still counts.
    Unknown,
    /// There are targets.
    Targets(Catalogue),
    /// The service is decidedly not available.
    NotOffered,
    /// There are no records.
    Negative,
    /// It does not serve this zone.
    Refused,
}

/// The targets that a server named, and their addresses as far as they are known.
///
/// There is no other cache: what has not expired here is not asked again.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Catalogue {
    pub(super) services: BTreeMap<Service, Rank>,
    until: Timestamp,
    pub(super) addresses: BTreeMap<(Name, Kind), Known>,
}

/// The addresses of one target and family; none, if the server said so.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Known {
    pub(super) found: BTreeSet<IpAddr>,
    pub(super) until: Timestamp,
}

impl View {
    /// The targets, if it names any.
    pub(super) fn catalogue(&self) -> Option<&Catalogue> {
        match self {
            Self::Targets(catalogue) => Some(catalogue),
            Self::Unknown | Self::NotOffered | Self::Negative | Self::Refused => None,
        }
    }

    /// The targets, emptied of whatever it was before.
    pub(super) fn catalogue_mut(&mut self) -> &mut Catalogue {
        if self.catalogue().is_none() {
            *self = Self::Targets(Catalogue::default());
        }
        match self {
            Self::Targets(catalogue) => catalogue,
            Self::Unknown | Self::NotOffered | Self::Negative | Self::Refused => {
                unreachable!("just replaced")
            }
        }
    }

    /// Whether at least one backend follows from it.
    pub(super) fn is_positive(&self) -> bool {
        self.catalogue().is_some_and(|catalogue| catalogue.backends().next().is_some())
    }
}

impl Catalogue {
    /// When the list of targets expires.
    pub(super) fn until(&self) -> Timestamp {
        self.until
    }

    /// Takes a new list of targets. What is known of those that remain is kept, the rest is gone.
    pub(super) fn replace_services(&mut self, services: BTreeMap<Service, Rank>, until: Timestamp) {
        let targets: BTreeSet<&Name> = services.keys().map(|(target, _)| target).collect();
        self.addresses.retain(|(target, _), _| targets.contains(target));
        self.services = services;
        self.until = until;
    }

    /// Takes the addresses of one target and family.
    pub(super) fn learn(&mut self, target: Name, kind: Kind, known: Known) {
        self.addresses.insert((target, kind), known);
    }

    /// How many addresses are known.
    pub(super) fn known_addresses(&self) -> usize {
        self.addresses.values().map(|known| known.found.len()).sum()
    }

    /// Forgets the addresses of all targets that come, by priority and name, after others which have `max`
    /// already; returns how many. No backend at them could be among the best `max`.
    ///
    /// What is open is neither counted nor forgotten. A target is kept or forgotten as a whole, and asked again
    /// in the latter case: there may be room for it then.
    pub(super) fn forget_beyond(&mut self, max: usize, is_open: impl Fn(&Name, Kind) -> bool) -> usize {
        let mut best: BTreeMap<&Name, u16> = BTreeMap::new();
        for ((target, _), rank) in &self.services {
            let priority = best.entry(target).or_insert(rank.priority);
            *priority = rank.priority.min(*priority);
        }
        let mut order: Vec<(u16, Name)> =
            best.into_iter().map(|(target, priority)| (priority, target.clone())).collect();
        order.sort_unstable();
        let (mut before, mut forgotten) = (0, 0);
        for (_, target) in order {
            let is_beyond = before >= max;
            for key in [Kind::Aaaa, Kind::A].map(|kind| (target.clone(), kind)) {
                let found = self.addresses.get(&key).map_or(0, |known| known.found.len());
                if found == 0 || is_open(&key.0, key.1) {
                    continue;
                }
                if is_beyond {
                    self.addresses.remove(&key);
                    forgotten += found;
                } else {
                    before += found;
                }
            }
        }
        forgotten
    }

    pub(super) fn known(&self, target: &Name, kind: Kind) -> Option<&Known> {
        self.addresses.get(&(target.clone(), kind))
    }

    /// All targets, each once.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Name> {
        let mut last = None;
        self.services.keys().filter_map(move |(target, _)| {
            let is_new = last != Some(target);
            last = Some(target);
            is_new.then_some(target)
        })
    }

    /// All backends, those of one target next to each other.
    pub(super) fn backends(&self) -> impl Iterator<Item = Backend> {
        self.named().map(|(backend, _)| backend)
    }

    /// The same, each with the time at which the first of its records expires.
    pub(super) fn named(&self) -> impl Iterator<Item = (Backend, Timestamp)> {
        self.services.iter().flat_map(|((target, port), rank)| self.at(target, *port, *rank))
    }

    /// The backends at one target.
    pub(super) fn backends_of(&self, target: &Name) -> impl Iterator<Item = Backend> {
        let services = self.services.range((target.clone(), 0)..=(target.clone(), u16::MAX));
        services.flat_map(|((target, port), rank)| self.at(target, *port, *rank)).map(|(backend, _)| backend)
    }

    /// All backends, by priority, then identity. Only those that are taken cost anything.
    fn ranked(&self) -> impl Iterator<Item = Backend> {
        let mut ports: BTreeMap<(u16, &Name), Vec<(u16, Rank)>> = BTreeMap::new();
        for ((target, port), rank) in &self.services {
            ports.entry((rank.priority, target)).or_default().push((*port, *rank));
        }
        ports.into_iter().flat_map(|((_, target), ports)| {
            let known = [Kind::Aaaa, Kind::A].into_iter().filter_map(|kind| self.known(target, kind));
            let addresses: BTreeSet<IpAddr> = known.flat_map(|known| known.found.iter().copied()).collect();
            addresses.into_iter().flat_map(move |address| {
                ports
                    .clone()
                    .into_iter()
                    .map(move |(port, rank)| backend(target.clone(), SocketAddr::new(address, port), rank))
            })
        })
    }

    /// How many backends there are, those twice that are in both families (RFC 4291 §2.5.5.2).
    fn size(&self) -> usize {
        let found = |target, kind| self.known(target, kind).map_or(0, |known| known.found.len());
        self.services.keys().map(|(target, _)| found(target, Kind::Aaaa) + found(target, Kind::A)).sum()
    }

    /// Every address of a target is a backend at the service's port.
    fn at(&self, target: &Name, port: u16, rank: Rank) -> impl Iterator<Item = (Backend, Timestamp)> {
        [Kind::Aaaa, Kind::A].into_iter().filter_map(|kind| self.known(target, kind)).flat_map(move |known| {
            let until = known.until.min(self.until);
            let addresses = known.found.iter().map(move |address| SocketAddr::new(*address, port));
            addresses.map(move |address| (backend(target.clone(), address, rank), until))
        })
    }
}

fn backend(name: Name, address: SocketAddr, rank: Rank) -> Backend {
    Backend { name, address, priority: rank.priority, weight: rank.weight() }
}

/// The backends of all views together, sorted by identity, each once with its best rank; and at least how
/// many had to be left out to keep the best `max`.
///
/// What one view leaves out has `max` better ones there, so it is not among the best of all: never more
/// than twice `max` are held, though a view's ports and addresses may multiply to millions.
pub(super) fn union<'a>(views: impl Iterator<Item = &'a View>, max: usize) -> (Vec<Backend>, usize) {
    let mut ranks: BTreeMap<(Name, SocketAddr), Rank> = BTreeMap::new();
    let mut excess = 0;
    for catalogue in views.filter_map(View::catalogue) {
        let mut ranked = catalogue.ranked();
        for backend in ranked.by_ref().take(max) {
            let rank = Rank::new(backend.priority, backend.weight);
            ranks
                .entry((backend.name, backend.address))
                .and_modify(|known| *known = rank.min(*known))
                .or_insert(rank);
        }
        if ranked.next().is_some() {
            excess = excess.max(catalogue.size() - max);
        }
        excess = excess.max(keep_best(&mut ranks, max));
    }
    (ranks.into_iter().map(|((name, address), rank)| backend(name, address, rank)).collect(), excess)
}

/// Adds those of `backends` that `set`, sorted by identity, does not hold; true if that changed it.
pub(super) fn add_missing(
    set: &mut Vec<Backend>,
    backends: impl Iterator<Item = Backend>,
    max: usize,
) -> bool {
    let before = set.len();
    for backend in backends {
        if set.len() >= max {
            break;
        }
        if let Err(place) = set.binary_search_by(|known| known.identity().cmp(&backend.identity())) {
            set.insert(place, backend);
        }
    }
    set.len() > before
}
