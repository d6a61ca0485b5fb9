//! A small DNS server that knows one service.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use smol::LocalExecutor;
use smol::future::zip;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream, UdpSocket};

use crate::host::{Host, rest};

/// How long its answers are good for, in seconds.
const TTL: u32 = 60;
/// RFC 1035: the longest datagram for one who did not say otherwise.
const PLAIN: u16 = 512;

/// A DNS server in this process, authoritative for one service: its SRV records, and the addresses of
/// their targets. It answers over UDP, and over TCP at the same port what is too long for a datagram.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    host: Option<Host>,
}

/// What it knows and does.
#[derive(Debug)]
struct Book {
    service: Name,
    targets: Vec<(Name, SocketAddr)>,
    silent: bool,
    datagrams: usize,
    frames: usize,
}

impl DnsServer {
    /// Starts to answer at `address` (port 0 is one that the system picks) for `service`, which is
    /// offered by these targets.
    ///
    /// # Errors
    ///
    /// A name is none, or the address cannot be listened at.
    pub fn start<'a>(
        address: SocketAddr,
        service: &str,
        targets: impl IntoIterator<Item = (&'a str, SocketAddr)>,
    ) -> io::Result<Self> {
        let (service, targets) = (name(service)?, named(targets)?);
        let book = Book { service, targets, silent: false, datagrams: 0, frames: 0 };
        let mut server = Self { address, book: Arc::new(Mutex::new(book)), host: None };
        server.revive()?;
        Ok(server)
    }

    /// Where it listens, or did before it was killed.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets other targets offer the service from now on.
    ///
    /// # Errors
    ///
    /// A name is none.
    pub fn publish<'a>(&self, targets: impl IntoIterator<Item = (&'a str, SocketAddr)>) -> io::Result<()> {
        let targets = named(targets)?;
        lock(&self.book).targets = targets;
        Ok(())
    }

    /// Whether it hears questions without ever answering them, from now on.
    pub fn set_silent(&self, silent: bool) {
        lock(&self.book).silent = silent;
    }

    /// How many questions came over UDP, and how many over TCP.
    #[must_use]
    pub fn asked(&self) -> (usize, usize) {
        let book = lock(&self.book);
        (book.datagrams, book.frames)
    }

    /// Closes its sockets, as when a process dies.
    pub fn kill(&mut self) {
        self.host = None;
    }

    /// Listens again, at the same address. One that listens already is left alone.
    ///
    /// # Errors
    ///
    /// The address cannot be listened at, perhaps because a socket of somebody else's was given the port;
    /// a later attempt may succeed.
    pub fn revive(&mut self) -> io::Result<()> {
        if self.host.is_none() {
            let (udp, tcp) = bind(self.address)?;
            self.address = udp.local_addr()?;
            let book = Arc::clone(&self.book);
            self.host = Some(Host::start("dns", async move |executor| {
                let udp = UdpSocket::try_from(udp).expect("it is a socket that does not block");
                let tcp = TcpListener::try_from(tcp).expect("it is a socket that does not block");
                zip(answer_datagrams(&udp, &book), answer_streams(executor, &tcp, &book)).await;
            }));
        }
        Ok(())
    }
}

/// One port for both protocols.
fn bind(address: SocketAddr) -> io::Result<(StdUdpSocket, StdTcpListener)> {
    let mut attempts = 0;
    loop {
        let tcp = StdTcpListener::bind(address)?;
        match StdUdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => {
                udp.set_nonblocking(true)?;
                tcp.set_nonblocking(true)?;
                return Ok((udp, tcp));
            }
            // What the system picked for one of them is taken for the other: it picks again.
            Err(_) if address.port() == 0 && attempts < 16 => attempts += 1,
            Err(error) => return Err(error),
        }
    }
}

async fn answer_datagrams(socket: &UdpSocket, book: &Mutex<Book>) {
    let mut buffer = [0; 4096];
    loop {
        // What an earlier answer met with is reported here; it concerns nobody else.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            rest().await;
            continue;
        };
        let answer = lock(book).answer(&buffer[..length], false);
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn answer_streams(executor: &LocalExecutor<'static>, listener: &TcpListener, book: &Arc<Mutex<Book>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            rest().await;
            continue;
        };
        let book = Arc::clone(book);
        let serving = async move {
            // However it ends, only that peer is concerned.
            let _ = answer_stream(stream, &book).await;
        };
        executor.spawn(serving).detach();
    }
}

async fn answer_stream(mut stream: TcpStream, book: &Mutex<Book>) -> io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).await?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question).await?;
        let answer = lock(book).answer(&question, true);
        if let Some(answer) = answer {
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await?;
        }
    }
}

impl Book {
    /// What is said to a question; to what is none, nothing.
    fn answer(&mut self, question: &[u8], on_stream: bool) -> Option<Vec<u8>> {
        *(if on_stream { &mut self.frames } else { &mut self.datagrams }) += 1;
        let asked = Message::from_vec(question).ok()?;
        if self.silent || asked.metadata.message_type != MessageType::Query {
            return None;
        }
        let answer = self.compose(&asked).to_vec().ok()?;
        let limit = asked.edns.as_ref().map_or(PLAIN, Edns::max_payload);
        if on_stream || answer.len() <= usize::from(limit) {
            return Some(answer);
        }
        let mut truncated = reply(&asked);
        truncated.metadata.truncation = true;
        truncated.to_vec().ok()
    }

    fn compose(&self, asked: &Message) -> Message {
        let mut message = reply(asked);
        let [query] = &asked.queries[..] else {
            message.metadata.response_code = ResponseCode::FormErr;
            return message;
        };
        let (owner, kind) = (query.name(), query.query_type());
        let named = self.targets.iter().filter(|(target, _)| target == owner);
        let addresses: BTreeSet<IpAddr> = named.map(|(_, address)| address.ip()).collect();
        if *owner == self.service && kind == RecordType::SRV {
            let services = self
                .targets
                .iter()
                .map(|(target, address)| RData::SRV(SRV::new(0, 0, address.port(), target.clone())));
            message.add_answers(services.map(|data| Record::from_rdata(owner.clone(), TTL, data)));
        }
        let hosts = addresses.iter().map(|address| host(*address)).filter(|data| data.record_type() == kind);
        message.add_answers(hosts.map(|data| Record::from_rdata(owner.clone(), TTL, data)));
        if message.answers.is_empty() {
            if *owner != self.service && addresses.is_empty() {
                message.metadata.response_code = ResponseCode::NXDomain;
            }
            let zone = self.service.trim_to(2);
            let data = SOA::new(zone.clone(), zone.clone(), 1, 3600, 600, 86_400, 1);
            message.add_authority(Record::from_rdata(zone, TTL, RData::SOA(data)));
        }
        message
    }
}

/// An answer without records.
fn reply(asked: &Message) -> Message {
    let mut message = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_desired = asked.metadata.recursion_desired;
    message.metadata.authoritative = true;
    message.add_queries(asked.queries.clone());
    if asked.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        message.set_edns(edns);
    }
    message
}

fn host(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

fn named<'a>(
    targets: impl IntoIterator<Item = (&'a str, SocketAddr)>,
) -> io::Result<Vec<(Name, SocketAddr)>> {
    targets.into_iter().map(|(target, address)| Ok((name(target)?, address))).collect()
}

/// A fully qualified name.
fn name(text: &str) -> io::Result<Name> {
    let invalid = |error: ProtoError| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let mut name = Name::from_ascii(text).map_err(invalid)?;
    name.set_fqdn(true);
    Ok(name)
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
