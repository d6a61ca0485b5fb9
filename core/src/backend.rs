//! What both machines mean by a backend.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

/// One of the programs that answer to a service's name.
///
/// Its identity is its name together with its address: the same name at a new address is one backend
/// gone and another come, and one address under two names is two backends. Ordered by priority first
/// only inside a resolver's answer; here by name and address.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Backend {
    /// The name it goes by: for DNS the SRV target, lower case with a final dot.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// RFC 2782: lower is used first, and others only while none of these works. 0 where the resolver knows
    /// none.
    pub priority: u16,
    /// RFC 2782: the share of slots and claims among backends of one priority. 0 is the least, half of 1, and
    /// what a resolver says that knows none.
    pub weight: u16,
}

impl Backend {
    /// A backend of the highest priority and no particular weight.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, address: SocketAddr) -> Self {
        Self { name: name.into(), address, priority: 0, weight: 0 }
    }

    /// What makes it the same backend in the resolver's next set.
    #[must_use]
    pub fn identity(&self) -> (&str, SocketAddr) {
        (&self.name, self.address)
    }
}

impl Clone for Backend {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), ..*self }
    }

    /// A state that is copied over another one knows the same backends, and leaves the count of
    /// their names alone.
    fn clone_from(&mut self, other: &Self) {
        if !Arc::ptr_eq(&self.name, &other.name) {
            self.name = Arc::clone(&other.name);
        }
        (self.address, self.priority, self.weight) = (other.address, other.priority, other.weight);
    }
}

impl fmt::Display for Backend {
    /// `name@address`, or the address alone where it is its own name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.parse() == Ok(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}@{}", self.name, self.address)
        }
    }
}

/// A backend as logs write it: with all that its [`Display`](fmt::Display) leaves out, and without a space.
#[derive(Debug)]
pub(crate) struct Exact<'backend>(pub(crate) &'backend Backend);

impl fmt::Display for Exact<'_> {
    /// `name@address`, odd characters of the name as `%` and their number in hex; then `/priority/weight`
    /// where there is either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Backend { name, address, priority, weight } = self.0;
        for character in name.chars() {
            if character == '%' || character.is_whitespace() || character.is_control() {
                write!(f, "%{:06x}", u32::from(character))?;
            } else {
                write!(f, "{character}")?;
            }
        }
        write!(f, "@{address}")?;
        if (*priority, *weight) == (0, 0) { Ok(()) } else { write!(f, "/{priority}/{weight}") }
    }
}
