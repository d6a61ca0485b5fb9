//! Lists and tables that never search: a doubly linked list through somebody else's entries, and a
//! table that names its entries by the lowest free number.

use alloc::vec::Vec;

use crate::overwrite::overwritable;

/// No neighbour.
const NIL: u32 = u32::MAX;

/// An entry's neighbours in one list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Link {
    pub(crate) before: u32,
    pub(crate) after: u32,
}

impl Link {
    /// In no list.
    pub(crate) const NONE: Self = Self { before: NIL, after: NIL };

    /// The only one in its ring.
    pub(crate) const fn alone(id: u32) -> Self {
        Self { before: id, after: id }
    }
}

/// Where a list finds the links of its entries.
pub(crate) trait Links {
    /// The link of this entry, which exists.
    fn link(&mut self, id: u32) -> &mut Link;
}

/// A doubly linked list: every operation touches a constant number of entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self { first: NIL, last: NIL, len: 0 };

    #[inline]
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NIL).then_some(self.first)
    }

    #[inline]
    pub(crate) fn last(&self) -> Option<u32> {
        (self.last != NIL).then_some(self.last)
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(crate) fn push_front(&mut self, id: u32, links: &mut impl Links) {
        *links.link(id) = Link { before: NIL, after: self.first };
        match self.first {
            NIL => self.last = id,
            first => links.link(first).before = id,
        }
        self.first = id;
        self.len += 1;
    }

    #[inline]
    pub(crate) fn push_back(&mut self, id: u32, links: &mut impl Links) {
        *links.link(id) = Link { before: self.last, after: NIL };
        match self.last {
            NIL => self.first = id,
            last => links.link(last).after = id,
        }
        self.last = id;
        self.len += 1;
    }

    /// Takes out the first entry.
    #[inline]
    pub(crate) fn pop_front(&mut self, links: &mut impl Links) -> Option<u32> {
        let first = self.first()?;
        let Link { after, .. } = core::mem::replace(links.link(first), Link::NONE);
        match after {
            NIL => self.last = NIL,
            after => links.link(after).before = NIL,
        }
        self.first = after;
        self.len -= 1;
        Some(first)
    }

    /// Takes out an entry, which must be in this list.
    #[inline]
    pub(crate) fn remove(&mut self, id: u32, links: &mut impl Links) {
        let Link { before, after } = core::mem::replace(links.link(id), Link::NONE);
        match before {
            NIL => self.first = after,
            before => links.link(before).after = after,
        }
        match after {
            NIL => self.last = before,
            after => links.link(after).before = before,
        }
        self.len -= 1;
    }

    /// The entries from first to last: for recounts and rare passes.
    pub(crate) fn iter(&self, link: impl Fn(u32) -> Link) -> impl Iterator<Item = u32> {
        let follow = |id: u32| (id != NIL).then_some(id);
        core::iter::successors(follow(self.first), move |&id| follow(link(id).after))
    }

    /// The same, at once.
    pub(crate) fn collect(&self, link: impl Fn(u32) -> Link) -> Vec<u32> {
        self.iter(link).collect()
    }
}

/// Entries under the lowest free number.
#[derive(PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Table<T> {
    entries: Vec<Option<T>>,
    /// In descending order, so that the lowest is taken off the end.
    free: Vec<u32>,
}

overwritable!(Table<T> { entries, free });

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self.entries[id as usize] = Some(entry);
            return id;
        }
        self.entries.push(Some(entry));
        u32::try_from(self.entries.len() - 1).expect("a table holds fewer than 2^32 entries")
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let entry = self.entries.get_mut(id as usize)?.take();
        if entry.is_some() {
            let place = self.free.partition_point(|free| *free > id);
            self.free.insert(place, id);
        }
        entry
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.entries.get(id as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.entries.get_mut(id as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.entries).filter_map(|(id, entry)| Some((id, entry.as_ref()?)))
    }
}
