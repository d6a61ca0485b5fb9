//! What both machines mean by a backend.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

/// One of the programs that answer to a service's name.
///
/// Its identity is its name together with its address: the same name at a new address is one backend
/// gone and another come, and one address under two names is two backends. Ordered by priority first
/// only inside a resolver's answer; here by name and address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Backend {
    /// The name it goes by: for DNS the SRV target, lower case with a final dot.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// RFC 2782: lower is used first. 0 where the resolver knows none.
    pub priority: u16,
    /// RFC 2782: the share among backends of one priority. 0 where the resolver knows none.
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
