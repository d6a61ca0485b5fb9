//! Datagrams and streams between sockets and scripted servers.
//!
//! A server is a function from what a client sent to what it sends back, and how much later. Nobody
//! listens at any other address.

use std::collections::{BTreeMap, VecDeque};
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use qorb_driver::{Runtime, TcpStream, UdpSocket};

use super::{Sim, World};

/// One piece of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// These bytes, so much later: a datagram, or some of a stream.
    Bytes(Duration, Vec<u8>),
    /// The end of the stream, so much later.
    End(Duration),
    /// A failure of the socket, so much later.
    Broken(Duration, io::ErrorKind),
}

/// What a server makes of what it receives: a datagram, or all that came on a stream so far.
pub type Server = Box<dyn FnMut(&[u8]) -> Vec<Reply> + Send>;

/// What becomes of a stream that is to be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Welcome {
    /// It is accepted.
    Accepted,
    /// It is refused.
    Refused,
    /// Nothing is heard of it.
    Lost,
}

/// Who decides about each stream that is to be opened.
pub type Porter = Box<dyn FnMut() -> Welcome + Send>;

/// What is listening.
#[derive(Default)]
pub(super) struct Net {
    udp: BTreeMap<SocketAddr, Server>,
    tcp: BTreeMap<SocketAddr, Server>,
    porters: BTreeMap<SocketAddr, Porter>,
    open: usize,
}

impl Net {
    pub(super) fn open(&self) -> usize {
        self.open
    }
}

impl World {
    /// Answers datagrams to `address`.
    pub fn serve_udp(&self, address: SocketAddr, server: Server) {
        self.sim.lock().net.udp.insert(address, server);
    }

    /// Answers streams to `address`.
    pub fn serve_tcp(&self, address: SocketAddr, server: Server) {
        self.sim.lock().net.tcp.insert(address, server);
    }

    /// Decides about streams to `address`, all of which are accepted otherwise.
    pub fn admit_tcp(&self, address: SocketAddr, porter: Porter) {
        self.sim.lock().net.porters.insert(address, porter);
    }
}

/// What arrives at a socket.
#[derive(Default)]
struct Inbox {
    arrived: VecDeque<io::Result<Vec<u8>>>,
    waker: Option<Waker>,
}

type SharedInbox = Arc<Mutex<Inbox>>;

fn deliver(sim: &Sim, inbox: &SharedInbox, replies: Vec<Reply>) {
    for reply in replies {
        let (delay, what) = match reply {
            Reply::Bytes(delay, bytes) => (delay, Ok(bytes)),
            Reply::End(delay) => (delay, Ok(Vec::new())),
            Reply::Broken(delay, kind) => (delay, Err(kind.into())),
        };
        let arrival = sim.sleep(delay);
        let inbox = Arc::downgrade(inbox);
        sim.spawn(async move {
            arrival.await;
            let Some(inbox) = inbox.upgrade() else { return };
            let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
            inbox.arrived.push_back(what);
            let waker = inbox.waker.take();
            drop(inbox);
            if let Some(waker) = waker {
                waker.wake();
            }
        });
    }
}

async fn next(inbox: &SharedInbox) -> io::Result<Vec<u8>> {
    poll_fn(|cx| {
        let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrived) = inbox.arrived.pop_front() {
            return Poll::Ready(arrived);
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

/// A socket that is counted while it is open.
struct Socket {
    sim: Sim,
    to: SocketAddr,
    inbox: SharedInbox,
}

impl Socket {
    fn open(sim: &Sim, to: SocketAddr) -> Self {
        sim.lock().net.open += 1;
        Self { sim: sim.clone(), to, inbox: Arc::default() }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.sim.lock().net.open -= 1;
    }
}

/// A simulated datagram socket.
pub struct SimUdp {
    socket: Socket,
}

impl SimUdp {
    pub(super) fn connect(sim: &Sim, to: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: Socket::open(sim, to) })
    }
}

impl UdpSocket for SimUdp {
    async fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let Socket { sim, to, inbox } = &self.socket;
        let server = sim.lock().net.udp.remove(to);
        let replies = match server {
            Some(mut server) => {
                let replies = server(datagram);
                sim.lock().net.udp.insert(*to, server);
                replies
            }
            None => vec![Reply::Broken(Duration::ZERO, io::ErrorKind::ConnectionRefused)],
        };
        deliver(sim, inbox, replies);
        Ok(())
    }

    async fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = next(&self.socket.inbox).await?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

/// A simulated stream.
pub struct SimTcp {
    socket: Socket,
    sent: Vec<u8>,
    rest: VecDeque<u8>,
}

impl SimTcp {
    pub(super) async fn connect(sim: &Sim, to: SocketAddr) -> io::Result<Self> {
        let welcome = {
            let net = &mut sim.lock().net;
            let porter = net.porters.get_mut(&to).map_or(Welcome::Accepted, |porter| porter());
            if net.tcp.contains_key(&to) { porter } else { Welcome::Refused }
        };
        match welcome {
            Welcome::Accepted => {}
            Welcome::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
            Welcome::Lost => pending().await,
        }
        Ok(Self { socket: Socket::open(sim, to), sent: Vec::new(), rest: VecDeque::new() })
    }
}

impl TcpStream for SimTcp {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = next(&self.socket.inbox).await?.into();
        }
        let length = self.rest.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(self.rest.drain(..length)) {
            *place = byte;
        }
        Ok(length)
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent.extend_from_slice(bytes);
        let Socket { sim, to, inbox } = &self.socket;
        let server = sim.lock().net.tcp.remove(to);
        let Some(mut server) = server else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let replies = server(&self.sent);
        sim.lock().net.tcp.insert(*to, server);
        deliver(sim, inbox, replies);
        Ok(())
    }
}

impl std::fmt::Debug for SimUdp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimUdp to {}", self.socket.to)
    }
}

impl std::fmt::Debug for SimTcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimTcp to {}", self.socket.to)
    }
}
