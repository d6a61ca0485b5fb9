//! Which answer there is to which request.

use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::tungstenite::handshake::derive_accept_key;

use super::answer::Answer;
use super::door::House;
use super::head::Request;
use super::metrics;
use super::page::page;
use super::pools::Served;
use super::{Serve, StatsServer};

/// What a client gets.
pub(super) enum Reply {
    Answer(Answer),
    Feed(Wanted),
}

/// A websocket that a client may have.
pub(super) struct Wanted {
    pub(super) pool: Arc<Served>,
    /// How often a frame is wanted.
    pub(super) every: Duration,
    /// The answer that makes it a websocket.
    pub(super) consent: String,
    /// What the client has sent already.
    pub(super) rest: Vec<u8>,
}

pub(super) fn reply<R: Serve>(house: &House<R>, request: Request) -> Result<Reply, Answer> {
    let answer = match request.path.as_str() {
        "/" => page(&house.runtime),
        "/healthz" => Answer::good("text/plain; charset=utf-8", "ok\n".to_owned()),
        "/metrics" => {
            let text = metrics::text(&house.pools.all());
            Answer::good("text/plain; version=0.0.4; charset=utf-8", text)
        }
        "/qtop/pools" => Answer::json(house.pools.names()),
        "/qtop/explain" => {
            let pool = house.pools.find(request.value("pool"))?;
            Answer::json(pool.explanation(&house.runtime).ok_or_else(just_ended)?.to_string())
        }
        "/qtop/stats" => return stats(house, request),
        _ => {
            let paths = StatsServer::<R>::PATHS.join(" ");
            Answer::refusal(404, format!("there is nothing here; there is something at {paths}"))
        }
    };
    Ok(Reply::Answer(answer))
}

fn stats<R: Serve>(house: &House<R>, request: Request) -> Result<Reply, Answer> {
    let pool = house.pools.find(request.value("pool"))?;
    let every = Duration::from_secs(every(request.value("update_secs"))?.into());
    if let Some(key) = &request.upgrade {
        let accept = derive_accept_key(key.as_bytes());
        let consent = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        return Ok(Reply::Feed(Wanted { pool, every, consent, rest: request.rest }));
    }
    let frame = pool.frame(&house.runtime).ok_or_else(just_ended)?;
    Ok(Reply::Answer(Answer::json(frame.text_since(frame.claims))))
}

fn just_ended() -> Answer {
    Answer::refusal(404, "this pool has just ended")
}

/// How many seconds lie between two frames.
fn every(asked: Option<&str>) -> Result<u8, Answer> {
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = asked.map_or(Some(1), |text| Some(text).filter(is_number)?.parse().ok());
    seconds.filter(|seconds| *seconds > 0).ok_or_else(|| {
        let asked = asked.unwrap_or_default().escape_debug();
        Answer::refusal(400, format!("update_secs is a number of seconds from 1 to 255, not '{asked}'"))
    })
}
