//! The sockets that are open, by their numbers and by the message ids nobody may guess.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::SocketAddr;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::event::QueryId;

/// The register of open sockets and streams: what each number stands for.
///
/// A number is the lowest free one; an id is unique among the open questions to its server (RFC 5452
/// §4, §9.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Sockets<Owner> {
    open: BTreeMap<QueryId, Socket<Owner>>,
    /// Numbers below `open`'s highest ever that are free again.
    free: BTreeSet<QueryId>,
    ids: BTreeSet<(SocketAddr, u16)>,
    source: IdSource,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Socket<Owner> {
    server: SocketAddr,
    id: u16,
    serial: u64,
    owner: Owner,
}

impl<Owner: Clone> Sockets<Owner> {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            open: BTreeMap::new(),
            free: BTreeSet::new(),
            ids: BTreeSet::new(),
            source: IdSource { seed, drawn: 0 },
        }
    }

    /// Takes the lowest free number and an id for one question to `server`.
    pub(super) fn open(&mut self, server: SocketAddr, owner: Owner) -> (QueryId, u16) {
        let next = u32::try_from(self.open.len()).expect("sockets are limited far below u32::MAX");
        let query = self.free.pop_first().unwrap_or(QueryId(next));
        let mut id = self.source.draw();
        while !self.ids.insert((server, id)) {
            id = self.source.draw();
        }
        self.open.insert(query, Socket { server, id, serial: self.source.drawn, owner });
        (query, id)
    }

    /// Gives a number and its id back; false where it was not open.
    pub(super) fn close(&mut self, query: QueryId) -> bool {
        let Some(socket) = self.open.remove(&query) else { return false };
        self.ids.remove(&(socket.server, socket.id));
        self.free.insert(query);
        if self.open.is_empty() {
            self.free.clear();
        }
        true
    }

    /// Tells a socket from earlier and later ones of the same number.
    pub(super) fn serial(&self, query: QueryId) -> Option<u64> {
        self.open.get(&query).map(|socket| socket.serial)
    }

    pub(super) fn owner(&self, query: QueryId) -> Option<&Owner> {
        self.open.get(&query).map(|socket| &socket.owner)
    }
}

/// ChaCha12 as a value: the seed and how far its stream was read.
///
/// The generator itself holds a buffer that can be neither compared nor hashed; its 2^68 positions are
/// addressable, so position and seed say the same. Twelve rounds: the strength that `rand` chose for its
/// own cryptographic generator.
#[derive(Clone, PartialEq, Eq, Hash)]
struct IdSource {
    seed: [u8; 32],
    drawn: u64,
}

impl IdSource {
    fn draw(&mut self) -> u16 {
        let mut generator = ChaCha12Rng::from_seed(self.seed);
        generator.set_word_pos(u128::from(self.drawn));
        self.drawn += 1;
        (generator.next_u32() >> 16) as u16
    }
}

impl core::fmt::Debug for IdSource {
    /// Without the seed, which would tell every id to come.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("IdSource").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}
