//! How the tests speak to a stats server.

use std::net::SocketAddr;

use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::{WebSocketStream, client_async};
use qorb_driver::{Serve, StatsServer};
use qorb_examples::{EchoServer, Platform};
use serde_json::Value;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use smol::net::TcpStream;
use smol::stream::StreamExt;

use crate::adapters::{ANY, PoolOn, echo_server, pool_of};

/// The headers that make a request one for a websocket.
pub(super) const UPGRADE: [&str; 4] = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// What the server said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Said {
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).expect("it is JSON")
    }
}

/// A server on a free port.
pub(super) async fn server<R: Serve>() -> StatsServer<R> {
    StatsServer::bind(ANY).await.expect("there is a free port")
}

/// An echo server, a pool of it, and a stats server that shows it.
pub(super) async fn shown<P: Platform<Runtime: Serve>>() -> (EchoServer, PoolOn<P>, StatsServer<P::Runtime>) {
    let echo = echo_server();
    let pool = pool_of::<P>(&[&echo], |_| {});
    let server = server::<P::Runtime>().await;
    server.add(&pool);
    (echo, pool, server)
}

/// A request as a polite client makes it, with these headers more.
pub(super) fn request(path: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\n{headers}\r\n")
}

/// Says something, and listens until the server hangs up.
pub(super) async fn say<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, words: &[u8]) -> Said {
    // A server that refuses may hang up before it has heard everything.
    let _ = stream.write_all(words).await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    let said = String::from_utf8(said).expect("it is text");
    let (head, body) = said.split_once("\r\n\r\n").unwrap_or((&said, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Said { status, head: head.to_owned(), body: body.to_owned() }
}

pub(super) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("somebody listens")
}

pub(super) async fn get(address: SocketAddr, path: &str) -> Said {
    say(connect(address).await, request(path, &["Host: localhost"]).as_bytes()).await
}

/// A websocket.
pub(super) async fn open(address: SocketAddr, path: &str) -> Socket<TcpStream> {
    open_on(connect(address).await, path).await
}

/// A websocket on this stream.
pub(super) async fn open_on<S: AsyncRead + AsyncWrite + Unpin>(stream: S, path: &str) -> Socket<S> {
    let (socket, _) = client_async(format!("ws://localhost{path}"), stream).await.expect("it may be opened");
    Socket(socket)
}

pub(super) struct Socket<S>(pub(super) WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// The next message.
    pub(super) async fn message(&mut self) -> Message {
        self.0.next().await.expect("the server has more to say").expect("and says it well")
    }

    /// The next frame of statistics.
    pub(super) async fn frame(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Binary(bytes) => return serde_json::from_slice(&bytes).expect("it is JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Text(_) | Message::Close(_) | Message::Frame(_)) => panic!("{other:?}"),
            }
        }
    }

    /// The server's last word; frames before it are passed over.
    pub(super) async fn last_word(&mut self) -> CloseFrame {
        loop {
            if let Message::Close(frame) = self.message().await {
                return frame.expect("it says why");
            }
        }
    }
}

/// The names of the backends in a frame that are in the resolver's set.
pub(super) fn in_set(frame: &Value) -> Vec<String> {
    let sets = frame["sets"].as_object().expect("there are sets");
    sets.iter().filter(|(_, set)| set["in_set"] == true).map(|(name, _)| name.clone()).collect()
}
