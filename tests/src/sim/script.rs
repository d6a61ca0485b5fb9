//! A connector that does as it is told, and counts what it is asked.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qorb_core::Backend;
use qorb_driver::{Connector, Pool};

use super::{Sim, inside};

/// A pool on the simulated runtime.
pub type SimPool = Pool<Script, Sim>;

/// A method of the connector.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Method {
    /// `connect`
    Connect,
    /// `is_valid`
    Check,
    /// `on_acquire`
    Acquire,
    /// `on_recycle`
    Recycle,
}

/// How a method behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Act {
    /// How long it takes; zero: it is ready when it is polled first.
    pub after: Duration,
    /// What then happens.
    pub then: Then,
}

/// How a method ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Then {
    /// Well.
    Pass,
    /// With an error.
    Fail,
    /// Not at all.
    Hang,
    /// With a panic.
    Panic,
}

impl Act {
    /// Ends well, at once.
    pub const PASS: Self = Self { after: Duration::ZERO, then: Then::Pass };
    /// Fails at once.
    pub const FAIL: Self = Self { after: Duration::ZERO, then: Then::Fail };
    /// Never ends.
    pub const HANG: Self = Self { after: Duration::ZERO, then: Then::Hang };
    /// Panics at once.
    pub const PANIC: Self = Self { after: Duration::ZERO, then: Then::Panic };

    /// The same, but after some milliseconds.
    #[must_use]
    pub const fn after(self, millis: u64) -> Self {
        Self { after: Duration::from_millis(millis), ..self }
    }
}

/// How the connector fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scripted(pub Method);

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} fails as the script says", self.0)
    }
}

impl std::error::Error for Scripted {}

/// One call of the connector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// When.
    pub at: Duration,
    /// Which method.
    pub method: Method,
    /// The name of the backend.
    pub backend: String,
    /// Which connection, counted from 1; 0 for a connect.
    pub conn: u64,
}

/// The connector. Its clones share everything.
#[derive(Clone)]
pub struct Script {
    sim: Sim,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    manners: BTreeMap<(String, Method), Act>,
    once: BTreeMap<(String, Method), VecDeque<Act>>,
    calls: Vec<Call>,
    ends: BTreeMap<(Method, Then), u64>,
    took_time: u64,
    made: u64,
    live: BTreeMap<String, usize>,
    connecting: usize,
    most: usize,
    dropped_outside: usize,
    complaints: Vec<String>,
    is_locked: Option<LockProbe>,
}

type LockProbe = Box<dyn Fn() -> bool + Send>;

/// A connection.
#[derive(Debug)]
pub struct Conn {
    /// Its number, in the order of successful connects, from 1.
    pub id: u64,
    /// Its backend's name.
    pub backend: String,
    /// How it fares, whatever its backend does.
    pub broken: bool,
    script: Script,
    busy: bool,
}

impl Script {
    /// Everything passes at once.
    #[must_use]
    pub fn new(sim: &Sim) -> Self {
        Self { sim: sim.clone(), state: Arc::default() }
    }

    /// From now on, `method` behaves so for the backend of this name.
    pub fn set(&self, backend: &str, method: Method, act: Act) {
        self.lock().manners.insert((backend.to_owned(), method), act);
    }

    /// The next call of `method` for this backend behaves so.
    pub fn once(&self, backend: &str, method: Method, act: Act) {
        self.lock().once.entry((backend.to_owned(), method)).or_default().push_back(act);
    }

    /// From now on, every piece of the user's code looks whether this pool's lock is free.
    pub fn watch(&self, pool: &SimPool) {
        self.lock().is_locked = Some(Box::new(pool.lock_probe()));
    }

    /// All calls of one method so far.
    #[must_use]
    pub fn calls(&self, method: Method) -> Vec<Call> {
        self.lock().calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// How often a method came to this end, as far as it was polled.
    #[must_use]
    pub fn ends(&self, method: Method, then: Then) -> u64 {
        self.lock().ends.get(&(method, then)).copied().unwrap_or(0)
    }

    /// How often a method was not ready when it was polled first.
    #[must_use]
    pub fn took_time(&self) -> u64 {
        self.lock().took_time
    }

    /// How many calls of any method there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().calls.len()
    }

    /// How many connections to this backend are open.
    #[must_use]
    pub fn live(&self, backend: &str) -> usize {
        self.lock().live.get(backend).copied().unwrap_or(0)
    }

    /// How many connections are open, to whomever.
    #[must_use]
    pub fn all_live(&self) -> usize {
        self.lock().live.values().sum()
    }

    /// How many connections were ever made.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.lock().made
    }

    /// How many connections and connects there were at most at a time.
    #[must_use]
    pub fn most(&self) -> usize {
        self.lock().most
    }

    /// How many connections were dropped outside the runtime.
    #[must_use]
    pub fn dropped_outside(&self) -> usize {
        self.lock().dropped_outside
    }

    /// What ran where it must not.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.lock().complaints.clone()
    }

    /// Looks whether the pool's lock is free, for code that must not run under it.
    pub fn attend(&self, what: &str) {
        let mut state = self.lock();
        if state.is_locked.as_ref().is_some_and(|is_locked| is_locked()) {
            state.complaints.push(format!("{what} ran under the lock"));
        }
    }

    async fn act(&self, method: Method, backend: &str, conn: u64) -> Result<(), Scripted> {
        self.attend("the connector");
        let act = {
            let mut state = self.lock();
            let call = Call { at: self.sim.elapsed(), method, backend: backend.to_owned(), conn };
            state.calls.push(call);
            let key = (backend.to_owned(), method);
            let once = state.once.get_mut(&key).and_then(VecDeque::pop_front);
            once.or_else(|| state.manners.get(&key).copied()).unwrap_or(Act::PASS)
        };
        if !act.after.is_zero() {
            self.lock().took_time += 1;
            self.sim.sleep(act.after).await;
        }
        *self.lock().ends.entry((method, act.then)).or_default() += 1;
        match act.then {
            Then::Pass => Ok(()),
            Then::Fail => Err(Scripted(method)),
            Then::Hang => pending().await,
            // Without the hook, which would print thousands of them.
            Then::Panic => resume_unwind(Box::new(format!("{method:?} panics as the script says"))),
        }
    }

    async fn work(&self, method: Method, conn: &mut Conn) -> Result<(), Scripted> {
        if std::mem::replace(&mut conn.busy, true) {
            self.lock().complaints.push(format!("two methods at a time on connection {}", conn.id));
        }
        let broken = conn.broken;
        let backend = conn.backend.clone();
        let result = self.act(method, &backend, conn.id).await;
        conn.busy = false;
        if broken { Err(Scripted(method)) } else { result }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn measure(&mut self) {
        let open = self.connecting + self.live.values().sum::<usize>();
        self.most = self.most.max(open);
    }
}

/// A connect under way.
struct Dialling<'a>(&'a Script);

impl<'a> Dialling<'a> {
    fn new(script: &'a Script) -> Self {
        let mut state = script.lock();
        state.connecting += 1;
        state.measure();
        drop(state);
        Self(script)
    }
}

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        self.0.lock().connecting -= 1;
    }
}

impl Connector for Script {
    type Connection = Conn;
    type Error = Scripted;

    async fn connect(&self, backend: &Backend) -> Result<Conn, Scripted> {
        let name = backend.name.to_string();
        let dialling = Dialling::new(self);
        self.act(Method::Connect, &name, 0).await?;
        drop(dialling);
        let mut state = self.lock();
        state.made += 1;
        *state.live.entry(name.clone()).or_default() += 1;
        state.measure();
        let id = state.made;
        drop(state);
        Ok(Conn { id, backend: name, broken: false, script: self.clone(), busy: false })
    }

    async fn is_valid(&self, conn: &mut Conn) -> Result<(), Scripted> {
        self.work(Method::Check, conn).await
    }

    async fn on_acquire(&self, conn: &mut Conn) -> Result<(), Scripted> {
        self.work(Method::Acquire, conn).await
    }

    async fn on_recycle(&self, conn: &mut Conn) -> Result<(), Scripted> {
        if !inside() {
            self.lock().complaints.push("on_recycle ran outside the runtime".to_owned());
        }
        self.work(Method::Recycle, conn).await
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.script.attend("the destructor of a connection");
        let mut state = self.script.lock();
        *state.live.get_mut(&self.backend).expect("it was counted when it was made") -= 1;
        state.dropped_outside += usize::from(!inside());
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("made", &self.made()).finish_non_exhaustive()
    }
}
