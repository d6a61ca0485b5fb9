//! A websocket: frames out, and whatever a client says in.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Message};
use futures_core::Stream;
use qorb_core::Timestamp;

use super::Serve;
use super::door::House;
use super::frame::Frame;
use super::pools::MOMENT;
use super::route::Wanted;
use super::stream::{Rationed, WRITING, hang_up};
use crate::runtime::within;

/// The longest message of a client; it has nothing to say but that it is there.
const MESSAGE: usize = 4 * 1024;
/// A client of whom nothing was heard for so long is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(10);
/// And after so long it is not.
const LOST: Duration = Duration::from_secs(30);

/// How many messages a client may send in a second.
const TALK: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);
/// How many bytes may come before a message is whole: one of many frames, each of a few bytes, need never end.
const WORDS: usize = 64 * 1024;
const TOO_MUCH: (CloseCode, &str) = (CloseCode::Policy, "you talk too much");

/// A client that looks on.
pub(super) struct Feed<'house, R: Serve> {
    house: &'house House<R>,
    wanted: Wanted,
    socket: WebSocketStream<Rationed<R::Stream>>,
    /// The claims it knows of.
    claims: Option<u64>,
    heard: Timestamp,
    /// When it is asked whether it is there.
    ask_at: Timestamp,
    /// When it may begin to count its messages anew, and how many it sent by now.
    talk_until: Timestamp,
    said: u32,
}

/// What ends a pause between frames.
enum News {
    /// It is time for a frame, or there is another set of backends.
    Frame,
    /// Nothing was heard of the client for a while.
    Silence,
    /// The client said something.
    Said,
    /// It goes, with this for its last word if it needs one.
    Goes(LastWord),
}

/// What a client is told when it goes, if anything.
type LastWord = Option<(CloseCode, &'static str)>;

impl<'house, R: Serve> Feed<'house, R> {
    pub(super) async fn new(house: &'house House<R>, mut wanted: Wanted, stream: R::Stream) -> Self {
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE)).max_frame_size(Some(MESSAGE));
        let rest = std::mem::take(&mut wanted.rest);
        let stream = Rationed::new(stream, WORDS);
        let socket = WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(config)).await;
        let now = house.runtime.now();
        let (ask_at, talk_until) = (now.after(SILENCE), now.after(SECOND));
        Self { house, wanted, socket, claims: None, heard: now, ask_at, talk_until, said: 0 }
    }

    /// Sends frames until somebody goes.
    pub(super) async fn run(mut self) {
        let mut due = self.house.runtime.now();
        loop {
            let Some(frame) = self.wanted.pool.frame(&self.house.runtime) else {
                return self.close(CloseCode::Away, "the pool is gone").await;
            };
            if !self.show(&frame).await {
                return;
            }
            if frame.set.is_none() {
                return self.close(CloseCode::Away, "the pool has ended").await;
            }
            let now = self.house.runtime.now();
            let mut calm = now;
            if due <= now {
                // What was missed while the client took its time is not made up for.
                due = due.after(self.wanted.every).max(now);
            } else {
                // One that came between two others, for another set: where sets change all the time, not each
                // of them is shown.
                calm = now.after(MOMENT);
            }
            match self.pause(frame.set, calm, due).await {
                Some(Some((code, why))) => return self.close(code, why).await,
                Some(None) => return self.hang_up().await,
                None => {}
            }
        }
    }

    /// Waits until the next frame is due, or from `calm` on for another set. `Some`: the client goes instead.
    async fn pause(&mut self, set: Option<u64>, calm: Timestamp, due: Timestamp) -> Option<LastWord> {
        let (pool, rest) = (Arc::clone(&self.wanted.pool), self.house.runtime.sleep_until(calm));
        let mut changed = pin!(async {
            rest.await;
            pool.changed(set).await;
        });
        loop {
            match self.news(changed.as_mut(), due).await {
                News::Frame => return None,
                News::Goes(word) => return Some(word),
                News::Said => {
                    self.heard = self.house.runtime.now();
                    self.ask_at = self.heard.after(SILENCE);
                    if self.heard >= self.talk_until {
                        (self.said, self.talk_until) = (0, self.heard.after(SECOND));
                    }
                    self.said += 1;
                    if self.said > TALK {
                        return Some(Some(TOO_MUCH));
                    }
                    self.socket.get_mut().refill(WORDS);
                }
                News::Silence => {
                    let now = self.house.runtime.now();
                    if now >= self.heard.after(LOST) || !self.send(Message::Ping("".into())).await {
                        return Some(Some((CloseCode::Away, "nothing was heard of you")));
                    }
                    self.ask_at = now.after(SILENCE);
                }
            }
        }
    }

    async fn news(&mut self, mut changed: Pin<&mut impl Future<Output = ()>>, due: Timestamp) -> News {
        let runtime = &self.house.runtime;
        let mut over = pin!(self.house.end.wait());
        let mut sleep = pin!(runtime.sleep_until(due.min(self.ask_at)));
        let (socket, ask_at) = (&mut self.socket, self.ask_at);
        poll_fn(|cx| {
            if over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(News::Goes(Some((CloseCode::Away, "the server ends"))));
            }
            match Pin::new(&mut *socket).poll_next(cx) {
                // Pings are answered, and a last word too, the next time this is polled.
                Poll::Ready(Some(Ok(_))) => return Poll::Ready(News::Said),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(News::Goes(last_word(&error))),
                Poll::Ready(None) => return Poll::Ready(News::Goes(None)),
                Poll::Pending => {}
            }
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(News::Frame);
            }
            let silent = |()| if ask_at < due { News::Silence } else { News::Frame };
            sleep.as_mut().poll(cx).map(silent)
        })
        .await
    }

    /// Whether the client took the frame.
    async fn show(&mut self, frame: &Frame) -> bool {
        let text = frame.text_since(self.claims.unwrap_or(frame.claims));
        self.claims = Some(frame.claims);
        self.send(Message::Binary(text.into())).await
    }

    async fn send(&mut self, message: Message) -> bool {
        let sent = within(&self.house.runtime, WRITING, self.socket.send(message)).await;
        sent.is_some_and(|sent| sent.is_ok())
    }

    async fn close(mut self, code: CloseCode, why: &'static str) {
        let frame = CloseFrame { code, reason: why.into() };
        if self.send(Message::Close(Some(frame))).await {
            self.hang_up().await;
        }
    }

    async fn hang_up(self) {
        hang_up(&self.house.runtime, self.socket.into_inner().into_inner()).await;
    }
}

/// What a client is told about what it said.
fn last_word(error: &Error) -> LastWord {
    if matches!(error, Error::Capacity(_)) {
        Some((CloseCode::Size, "a message has at most 4096 bytes"))
    } else if matches!(error, Error::Protocol(_) | Error::Utf8(_)) {
        Some((CloseCode::Protocol, "this is no websocket message"))
    } else if matches!(error, Error::Io(error) if error.kind() == ErrorKind::QuotaExceeded) {
        Some(TOO_MUCH)
    } else {
        None
    }
}
