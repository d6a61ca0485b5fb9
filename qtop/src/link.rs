//! The link to a stats server: connects, reads, and connects again. Knows nothing of what is in a frame.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{self, Message};
use async_tungstenite::{WebSocketStream, client_async_with_config};
use smol::Timer;
use smol::channel::Sender;
use smol::future::or;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;
use smol::stream::StreamExt;

use crate::address::Address;
use crate::frame::{LONGEST, Text};
use crate::model::status::dead_after;

/// How long a server may take to be there, and to answer a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer to a question, in bytes.
const ANSWER: usize = 4 << 20;
/// The pauses between attempts are drawn below these; the last one stays.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(5)];

/// What happens on a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// A message came, which is meant to be a frame.
    Heard(Vec<u8>),
    /// The link is gone, or could not be made.
    Lost {
        /// What happened, in words that can be shown.
        why: String,
        /// After how long it is tried again.
        again: Duration,
    },
}

/// Follows a server for as long as somebody listens: after every loss it tries again, soon at first, then
/// ever later up to five seconds, half of it drawn, so that many monitors do not come all at once.
pub async fn follow(address: Address, news: Sender<News>) {
    let mut failed = 0;
    loop {
        let mut heard = false;
        let why = match visit(&address, &news, &mut heard).await {
            Ok(()) => return,
            Err(why) => Text::from(why).to_string(),
        };
        if heard {
            failed = 0;
        }
        let again = pause(failed, fastrand::f64());
        failed += 1;
        if news.send(News::Lost { why, again }).await.is_err() {
            return;
        }
        Timer::after(again).await;
    }
}

/// The pause after so many attempts that failed; `draw` is 0 to 1.
fn pause(failed: usize, draw: f64) -> Duration {
    PAUSES[failed.min(PAUSES.len() - 1)].mul_f64(0.5 + draw / 2.0)
}

/// Hands on what one connection brings. Returns when nobody listens any more; an error is the reason why the
/// connection ended.
async fn visit(address: &Address, news: &Sender<News>, heard: &mut bool) -> Result<(), String> {
    let mut socket = within(PATIENCE, open(address)).await?;
    loop {
        let message = within(dead_after(address.seconds), async { Ok(socket.next().await) }).await?;
        match message {
            None => return Err("the server closed the connection".to_owned()),
            Some(Err(error)) => return Err(describe(&error)),
            Some(Ok(message)) => {
                let bytes = match message {
                    Message::Binary(bytes) => bytes.to_vec(),
                    Message::Text(text) => text.as_bytes().to_vec(),
                    Message::Close(reason) => {
                        return Err(farewell(reason.map(|frame| frame.reason.to_string())));
                    }
                    // The library answers for us.
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                };
                *heard = true;
                if news.send(News::Heard(bytes)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

fn farewell(reason: Option<String>) -> String {
    match reason.filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("the server closed: {reason}"),
        None => "the server closed the connection".to_owned(),
    }
}

async fn open(address: &Address) -> Result<WebSocketStream<TcpStream>, String> {
    let stream = connect(address).await.map_err(|error| error.to_string())?;
    let limits = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let asked = client_async_with_config(address.stats(), stream, Some(limits)).await;
    asked.map(|(socket, _)| socket).map_err(|error| describe(&error))
}

async fn connect(address: &Address) -> io::Result<TcpStream> {
    let port = address.port;
    match address.host.parse() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await,
        Err(_) => TcpStream::connect((address.host.as_str(), port)).await,
    }
}

/// What went wrong, and where the server says why, that too.
fn describe(error: &tungstenite::Error) -> String {
    if let tungstenite::Error::Http(response) = &error {
        let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let first: String = body.lines().next().unwrap_or_default().chars().take(200).collect();
        return format!("{} {first}", response.status()).trim().to_owned();
    }
    if matches!(error, tungstenite::Error::Capacity(_)) {
        return format!("a frame of more than {} MiB", LONGEST >> 20);
    }
    error.to_string()
}

async fn within<T>(span: Duration, what: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = async {
        Timer::after(span).await;
        Err(format!("nothing was heard for {} s", span.as_secs()))
    };
    or(what, late).await
}

/// Asks the server for a page beside the frames, by a plain GET, and returns what it holds.
///
/// # Errors
///
/// There is none, or none that can be had: why, in words that can be shown.
pub async fn ask(address: &Address, page: &str) -> Result<Vec<u8>, String> {
    let answer = within(PATIENCE, get(address, page)).await;
    answer.map_err(|why| Text::from(why).to_string())
}

async fn get(address: &Address, page: &str) -> Result<Vec<u8>, String> {
    let question = format!(
        "GET {page} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
        address.authority()
    );
    let heard = async {
        let mut stream = connect(address).await?;
        stream.write_all(question.as_bytes()).await?;
        let (mut answer, mut bytes) = (Vec::new(), vec![0; 8192]);
        // Not everybody closes the connection when all is said.
        while !is_whole(&answer) && answer.len() < ANSWER {
            match stream.read(&mut bytes).await? {
                0 => break,
                length => answer.extend_from_slice(&bytes[..length]),
            }
        }
        Ok(answer)
    };
    let answer = heard.await.map_err(|error: io::Error| error.to_string())?;
    body(&answer)
}

/// The head of an answer and what comes after it, where the head is complete.
fn parts(answer: &[u8]) -> Option<(String, &[u8])> {
    let gap = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&answer[..gap]).into_owned(), &answer[gap + 4..]))
}

/// Whether there is as much of an answer as its head promises.
fn is_whole(answer: &[u8]) -> bool {
    let Some((head, body)) = parts(answer) else { return false };
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths
        .next()
        .and_then(|(_, length)| length.trim().parse().ok())
        .is_some_and(|length: usize| body.len() >= length)
}

/// The body of an answer that is a good one.
fn body(answer: &[u8]) -> Result<Vec<u8>, String> {
    let (head, body) = parts(answer).ok_or("the answer has no end of its head")?;
    let line = head.lines().next().unwrap_or_default();
    match line.split_once(' ') {
        Some((version, status)) if version.starts_with("HTTP/1.") && status.starts_with("200") => {
            Ok(body.to_vec())
        }
        Some((version, status)) if version.starts_with("HTTP/1.") => Err(status.chars().take(200).collect()),
        _ => Err("the answer is not HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_half_a_second_to_five() {
        let millis = |failed, draw| pause(failed, draw).as_millis();
        assert_eq!([0, 1, 2, 3, 100].map(|failed| millis(failed, 0.0)), [500, 1_000, 2_000, 2_500, 2_500]);
        assert_eq!([0, 1, 2, 3, 100].map(|failed| millis(failed, 1.0)), [1_000, 2_000, 4_000, 5_000, 5_000]);
    }

    #[test]
    fn an_answer_is_whole_when_it_is_as_long_as_it_says() {
        let table: [(&[u8], bool); 5] = [
            (b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 2\r\n\r\n{}", true),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", false),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", false),
            (b"HTTP/1.1 200 OK\r\n\r\n{}", false),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", false),
        ];
        for (answer, whole) in table {
            assert_eq!(is_whole(answer), whole, "{}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn an_answer_is_its_body_or_a_reason() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}"), Ok(b"{}".to_vec()));
        let table: [(&[u8], &str); 4] = [
            (b"HTTP/1.1 404 Not Found\r\n\r\nno", "404 Not Found"),
            (b"", "no end"),
            (b"HTTP/1.1 200 OK\r\n", "no end"),
            (b"SSH-2.0 200\r\n\r\n", "not HTTP"),
        ];
        for (answer, reason) in table {
            let error = body(answer).expect_err("it is none");
            assert!(error.contains(reason), "{error}");
        }
    }
}
