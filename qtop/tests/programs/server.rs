//! A stats server of the tests' own: it says what it is told to, honest or not.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{self, Message, WebSocket};

/// How often a server that tells frames all the time tells one.
const PACE: Duration = Duration::from_millis(100);

/// A server, on a loopback port that was free. All that it holds is gone when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    visitors: Arc<Mutex<Vec<TcpStream>>>,
    asked: Arc<Mutex<Vec<String>>>,
    accepting: Option<JoinHandle<()>>,
}

/// Somebody who asked for frames.
pub(crate) struct Visit {
    socket: WebSocket<TcpStream>,
    /// How many came before.
    pub(crate) number: usize,
}

impl Server {
    /// Does with each who asks for frames what it is told to.
    pub(crate) fn start(tell: impl Fn(&mut Visit) + Send + Sync + 'static) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), tell)
    }

    /// The same at an address that is known.
    pub(crate) fn start_at(address: SocketAddr, tell: impl Fn(&mut Visit) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("it listens");
        let (over, visitors, asked) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let mut server = Self { address, over, visitors, asked, accepting: None };
        let (over, visitors, asked) =
            (Arc::clone(&server.over), Arc::clone(&server.visitors), Arc::clone(&server.asked));
        let tell = Arc::new(tell);
        server.accepting = Some(std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.expect("somebody came");
                lock(&visitors).push(stream.try_clone().expect("there is a descriptor more"));
                let (tell, asked) = (Arc::clone(&tell), Arc::clone(&asked));
                std::thread::spawn(move || serve(stream, number, &asked, &*tell));
            }
        }));
        server
    }

    /// Tells the frames of a pool ten times a second.
    pub(crate) fn of_a_pool() -> Self {
        Self::start(|visit| visit.tell_all_the_time())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked for: the lines of GET.
    pub(crate) fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Somebody has to come for it to notice.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for visitor in lock(&self.visitors).iter() {
            let _ = visitor.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, number: usize, asked: &Mutex<Vec<String>>, tell: &impl Fn(&mut Visit)) {
    let Some(head) = head(&stream) else { return };
    let line = head.lines().next().unwrap_or_default().to_owned();
    lock(asked).push(line.clone());
    if !head.to_lowercase().contains("upgrade: websocket") {
        let _ = stream.read(&mut [0; 8192]);
        let _ = stream.write_all(page(&line).as_bytes());
        return;
    }
    if let Ok(socket) = tungstenite::accept(stream) {
        let _ = socket.get_ref().set_read_timeout(Some(PACE));
        tell(&mut Visit { socket, number });
    }
}

/// Looks at the head of a question without taking it. None where there is never one.
fn head(stream: &TcpStream) -> Option<String> {
    let mut bytes = [0; 8192];
    loop {
        let length = stream.peek(&mut bytes).ok().filter(|length| *length > 0)?;
        let head = String::from_utf8_lossy(&bytes[..length]);
        if head.contains("\r\n\r\n") {
            return Some(head.into_owned());
        }
    }
}

fn page(line: &str) -> String {
    let body = if line.contains("/qtop/pools") {
        r#"{"version":1,"pools":["tcp_echo_workload","other pool"]}"#
    } else {
        r#"{"version":1,"name":"p","queue":"Nobody waits.","backends":{"a.@[::1]:1":"It is up since the beginning."}}"#
    };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

impl Visit {
    /// Tells a frame, or what pretends to be one.
    pub(crate) fn tell(&mut self, frame: impl Into<Vec<u8>>) {
        let _ = self.socket.send(Message::binary(frame.into()));
    }

    /// Says why, and closes.
    pub(crate) fn close(&mut self, reason: &str) {
        let reason = CloseFrame { code: CloseCode::Away, reason: reason.to_owned().into() };
        let _ = self.socket.close(Some(reason));
        while self.stays() {}
    }

    /// Tells frames until nobody listens any more.
    pub(crate) fn tell_all_the_time(&mut self) {
        for second in 1.. {
            self.tell(frame(second));
            if !self.stays() {
                return;
            }
        }
    }

    /// Waits for a moment, and says whether somebody still listens.
    pub(crate) fn stays(&mut self) -> bool {
        match self.socket.read() {
            Ok(_) => true,
            Err(tungstenite::Error::Io(error)) => {
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
            }
            Err(_) => false,
        }
    }

    /// Says nothing for as long as somebody listens.
    pub(crate) fn keep_silent(&mut self) {
        while self.stays() {}
    }
}

/// A frame of a pool with two backends, so many seconds after its beginning: 10 claims a second.
pub(crate) fn frame(second: u64) -> String {
    format!(
        r#"{{"version":1,"name":"tcp_echo_workload","at_ms":{at},"ended":false,"claims":10,"total_claims":{total},"waiting":3,
        "a field from the future":[null],"sets":{{
        "a.@[::1]:1":{{"checking_slots":0,"claimed_slots":2,"connecting_slots":0,"total_claims":{total},"unclaimed_slots":5,
        "name":"a.","address":"[::1]:1","standing":"up","connect_failures":0,"in_set":true,"online":true}},
        "b.@[::1]:2":{{"checking_slots":0,"claimed_slots":0,"connecting_slots":1,"total_claims":0,"unclaimed_slots":0,
        "name":"b.","address":"[::1]:2","standing":"down","connect_failures":{second},"next_attempt_in_ms":1234,"in_set":true,"online":false}}}}}}"#,
        at = second * 1_000,
        total = second * 10,
    )
}
