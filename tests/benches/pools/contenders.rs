//! Everybody behind one small trait: the pools of others, what is measured in place of a pool, and ours.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fmt, io};

use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long anybody waits who can be told how long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pool, or what is measured in place of one.
pub(crate) trait Contender: Send + Sync + 'static {
    /// What it hands out.
    type Connection;
    /// Gives it back when it is dropped.
    type Held<'a>: DerefMut<Target = Self::Connection> + Send
    where
        Self: 'a;

    fn claim(&self) -> impl Future<Output = Self::Held<'_>> + Send;
}

/// Makes connections.
pub(crate) trait Source: Clone + Send + Sync + 'static {
    type Connection: Send + Sync + Unpin + 'static;

    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

/// Connects at once, to nothing.
#[derive(Clone)]
pub(crate) struct Nothing;

impl Source for Nothing {
    type Connection = u64;

    async fn connect(&self, _: SocketAddr) -> io::Result<u64> {
        Ok(7)
    }
}

/// Connects by TCP.
#[derive(Clone)]
pub(crate) struct Tcp;

impl Source for Tcp {
    type Connection = TcpStream;

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Connections to several servers in turn, for pools that know of no backends.
#[derive(Clone)]
pub(crate) struct Servers<S> {
    source: S,
    pub(crate) addresses: Arc<[SocketAddr]>,
    next: Arc<AtomicUsize>,
}

impl<S: Source> Servers<S> {
    pub(crate) fn new(source: S, addresses: &[SocketAddr]) -> Self {
        Self { source, addresses: addresses.into(), next: Arc::default() }
    }

    /// A connection to the server whose turn it is.
    pub(crate) async fn connect_in_turn(&self) -> io::Result<S::Connection> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.source.connect(self.addresses[turn % self.addresses.len()]).await
    }
}

/// Three servers that nobody asks anything.
pub(crate) fn nobody() -> Servers<Nothing> {
    Servers::new(Nothing, &[1, 2, 3].map(|port| ([127, 0, 0, 1], port).into()))
}

/// What is done with every contender.
pub(crate) trait Each<C> {
    type Made;

    fn each<T: Contender<Connection = C>>(&mut self, name: &'static str, contender: T) -> Self::Made;
}

/// Does something with everybody, one after the other.
pub(crate) fn everybody<S: Source, E: Each<S::Connection>>(
    runtime: &Runtime,
    servers: &Servers<S>,
    slots: usize,
    act: &mut E,
) -> Vec<E::Made> {
    let _entered = runtime.enter();
    vec![
        act.each("semaphore + mutex", runtime.block_on(Floor::new(servers, slots))),
        act.each("qorb, tokio", runtime.block_on(tokio_pool(servers, slots))),
        act.each("deadpool 0.13", deadpool(servers, slots, false)),
        act.each("deadpool 0.13, time-outs", deadpool(servers, slots, true)),
        act.each("bb8 0.9", runtime.block_on(bb8(servers, slots))),
        act.each("fast_pool 1.0", FastPool::new(servers, slots)),
        act.each("mobc 0.9", mobc(servers, slots)),
        act.each("qorb 0.4.1", runtime.block_on(original(servers, slots))),
    ]
}

// Ours.

impl<S: Source> qorb_tokio::Connector for Servers<S> {
    type Connection = S::Connection;
    type Error = io::Error;

    async fn connect(&self, backend: &qorb_tokio::Backend) -> io::Result<S::Connection> {
        self.source.connect(backend.address).await
    }
}

pub(crate) struct OnTokio<S: Source>(pub(crate) qorb_tokio::Pool<Servers<S>>);

impl<S: Source> Contender for OnTokio<S> {
    type Connection = S::Connection;
    type Held<'a> = qorb_tokio::Handle<Servers<S>>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.claim().await.expect("granted")
    }
}

/// The default policy, with as many connections as everybody has, and room for as many claims as are measured.
pub(crate) fn policy(slots: usize) -> qorb_tokio::Policy {
    qorb_tokio::Policy {
        spares_wanted: slots,
        max_slots: slots,
        max_waiting: 100_000,
        set_config: qorb_tokio::SetConfig { max_count: usize::MAX, ..Default::default() },
        ..Default::default()
    }
}

/// Our pool on tokio, once all its connections stand.
pub(crate) async fn tokio_pool<S: Source>(servers: &Servers<S>, slots: usize) -> OnTokio<S> {
    let resolver = qorb_tokio::FixedResolver::new(servers.addresses.iter().copied());
    let pool = qorb_tokio::Pool::new("bench", resolver, servers.clone(), policy(slots));
    let pool = pool.expect("a valid policy");
    pool.wait_ready(slots).await.expect("connected");
    OnTokio(pool)
}

pub(crate) struct OnSmol(qorb_smol::Pool<Servers<Nothing>>);

impl Contender for OnSmol {
    type Connection = u64;
    type Held<'a> = qorb_smol::Handle<Servers<Nothing>>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.claim().await.expect("granted")
    }
}

/// Our pool on smol, once all its connections stand.
pub(crate) async fn smol_pool(slots: usize) -> OnSmol {
    let servers = nobody();
    let resolver = qorb_smol::FixedResolver::new(servers.addresses.iter().copied());
    let pool = qorb_smol::Pool::new("bench", resolver, servers, policy(slots)).expect("a valid policy");
    pool.wait_ready(slots).await.expect("connected");
    OnSmol(pool)
}

// In place of a pool.

/// A mutex around a vector, behind a semaphore where tasks have to wait: none of a pool's duties.
pub(crate) struct Floor<C> {
    permits: Semaphore,
    idle: Mutex<Vec<C>>,
}

pub(crate) struct FloorHeld<'a, C> {
    floor: &'a Floor<C>,
    connection: Option<C>,
    _permit: Option<SemaphorePermit<'a>>,
}

impl<C: Send + 'static> Floor<C> {
    pub(crate) async fn new<S: Source<Connection = C>>(servers: &Servers<S>, slots: usize) -> Self {
        let mut idle = Vec::with_capacity(slots);
        for _ in 0..slots {
            idle.push(servers.connect_in_turn().await.expect("connected"));
        }
        Self { permits: Semaphore::new(slots), idle: Mutex::new(idle) }
    }

    fn pop<'a>(&'a self, permit: Option<SemaphorePermit<'a>>) -> FloorHeld<'a, C> {
        let connection = self.idle.lock().expect("not poisoned").pop();
        FloorHeld { floor: self, connection, _permit: permit }
    }
}

impl<C: Send + 'static> Contender for Floor<C> {
    type Connection = C;
    type Held<'a> = FloorHeld<'a, C>;

    async fn claim(&self) -> Self::Held<'_> {
        let permit = self.permits.acquire().await.expect("not closed");
        self.pop(Some(permit))
    }
}

/// The floor without its semaphore: nobody may have to wait.
pub(crate) struct Bare(pub(crate) Floor<u64>);

impl Contender for Bare {
    type Connection = u64;
    type Held<'a> = FloorHeld<'a, u64>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.pop(None)
    }
}

impl<C> Deref for FloorHeld<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.connection.as_ref().expect("until it is dropped")
    }
}

impl<C> DerefMut for FloorHeld<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        self.connection.as_mut().expect("until it is dropped")
    }
}

impl<C> Drop for FloorHeld<'_, C> {
    fn drop(&mut self) {
        self.floor.idle.lock().expect("not poisoned").extend(self.connection.take());
    }
}

// The pools of others.

impl<S: Source> deadpool::managed::Manager for Servers<S> {
    type Type = S::Connection;
    type Error = io::Error;

    async fn create(&self) -> io::Result<S::Connection> {
        self.connect_in_turn().await
    }

    async fn recycle(
        &self,
        _: &mut S::Connection,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<io::Error> {
        Ok(())
    }
}

pub(crate) struct Deadpool<S: Source>(deadpool::managed::Pool<Servers<S>>);

impl<S: Source> Contender for Deadpool<S> {
    type Connection = S::Connection;
    type Held<'a> = deadpool::managed::Object<Servers<S>>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.get().await.expect("granted")
    }
}

pub(crate) fn deadpool<S: Source>(servers: &Servers<S>, slots: usize, timed: bool) -> Deadpool<S> {
    let builder = deadpool::managed::Pool::builder(servers.clone()).max_size(slots);
    let builder = if timed {
        builder
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .recycle_timeout(Some(PATIENCE))
            .runtime(deadpool::Runtime::Tokio1)
    } else {
        builder
    };
    Deadpool(builder.build().expect("a pool"))
}

impl<S: Source> bb8::ManageConnection for Servers<S> {
    type Connection = S::Connection;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<S::Connection> {
        self.connect_in_turn().await
    }

    async fn is_valid(&self, _: &mut S::Connection) -> io::Result<()> {
        Ok(())
    }

    fn has_broken(&self, _: &mut S::Connection) -> bool {
        false
    }
}

pub(crate) struct Bb8<S: Source>(bb8::Pool<Servers<S>>);

impl<S: Source> Contender for Bb8<S> {
    type Connection = S::Connection;
    type Held<'a> = bb8::PooledConnection<'a, Servers<S>>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.get().await.expect("granted")
    }
}

async fn bb8<S: Source>(servers: &Servers<S>, slots: usize) -> Bb8<S> {
    let size = u32::try_from(slots).expect("a size that it takes");
    let builder = bb8::Pool::builder().max_size(size).min_idle(Some(size));
    Bb8(builder.build(servers.clone()).await.expect("connected"))
}

impl<S: Source> fast_pool::Manager for Servers<S> {
    type Connection = S::Connection;
    type Error = Trouble;

    async fn connect(&self) -> Result<S::Connection, Trouble> {
        self.connect_in_turn().await.map_err(|error| Trouble(error.to_string()))
    }

    async fn check(&self, _: &mut S::Connection) -> Result<(), Trouble> {
        Ok(())
    }
}

/// An error made of text, which is what this pool's own errors are.
#[derive(Debug)]
pub(crate) struct Trouble(String);

impl From<&str> for Trouble {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) struct FastPool<S: Source>(fast_pool::Pool<Servers<S>>);

impl<S: Source> FastPool<S> {
    fn new(servers: &Servers<S>, slots: usize) -> Self {
        let pool = fast_pool::Pool::new(servers.clone());
        pool.set_max_open(slots as u64);
        Self(pool)
    }
}

impl<S: Source> Contender for FastPool<S> {
    type Connection = S::Connection;
    type Held<'a> = fast_pool::ConnectionGuard<Servers<S>>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.get().await.expect("granted")
    }
}

#[mobc::async_trait]
impl<S: Source> mobc::Manager for Servers<S> {
    type Connection = S::Connection;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<S::Connection> {
        self.connect_in_turn().await
    }

    async fn check(&self, connection: S::Connection) -> io::Result<S::Connection> {
        Ok(connection)
    }
}

pub(crate) struct Mobc<S: Source>(mobc::Pool<Servers<S>>);

impl<S: Source> Contender for Mobc<S> {
    type Connection = S::Connection;
    type Held<'a> = mobc::Connection<Servers<S>>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.get().await.expect("granted")
    }
}

fn mobc<S: Source>(servers: &Servers<S>, slots: usize) -> Mobc<S> {
    let size = slots as u64;
    Mobc(mobc::Pool::builder().max_open(size).max_idle(size).build(servers.clone()))
}

/// A pool whose claims block their thread: measured where nobody waits.
impl r2d2::ManageConnection for Servers<Nothing> {
    type Connection = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

pub(crate) struct R2d2(r2d2::Pool<Servers<Nothing>>);

impl Contender for R2d2 {
    type Connection = u64;
    type Held<'a> = r2d2::PooledConnection<Servers<Nothing>>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.get().expect("granted")
    }
}

pub(crate) fn r2d2(slots: usize) -> R2d2 {
    let size = u32::try_from(slots).expect("a size that it takes");
    R2d2(r2d2::Pool::builder().max_size(size).build(nobody()).expect("connected"))
}

#[async_trait::async_trait]
impl<S: Source> qorb::backend::Connector for Servers<S> {
    type Connection = S::Connection;

    async fn connect(&self, backend: &qorb::backend::Backend) -> Result<S::Connection, qorb::backend::Error> {
        Ok(self.source.connect(backend.address).await?)
    }
}

pub(crate) struct Original<S: Source>(pub(crate) qorb::pool::Pool<S::Connection>);

impl<S: Source> Contender for Original<S> {
    type Connection = S::Connection;
    type Held<'a> = qorb::claim::Handle<S::Connection>;

    async fn claim(&self) -> Self::Held<'_> {
        self.0.claim().await.expect("granted")
    }
}

/// The pool that this one is made anew of, once it has as many connections as everybody.
pub(crate) async fn original<S: Source>(servers: &Servers<S>, slots: usize) -> Original<S> {
    let resolver = qorb::resolvers::fixed::FixedResolver::new(servers.addresses.iter().copied());
    let policy = qorb::policy::Policy { spares_wanted: slots, max_slots: slots, ..Default::default() };
    let connector = Arc::new(servers.clone());
    let pool = qorb::pool::Pool::new("bench".to_owned(), Box::new(resolver), connector, policy);
    let pool = Original(pool.expect("a name nobody has"));
    drop(pool.claim().await);
    pool
}
