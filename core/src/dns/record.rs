//! The resolver's part of a log: how one begins, and how its events are read.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::SocketAddr;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::event::{Action, Event, QueryId, SocketFailure};
use super::resolver::Resolver;
use super::text;
use crate::record::Recorded;
use crate::record::words::Words;
use crate::time::Timestamp;

/// How a resolver began: with what [`Resolver::new`] takes.
///
/// Its seed decides the ids of all messages to come: a log of a resolver that is still at work is a
/// secret (RFC 5452).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// What is looked for.
    pub service: String,
    /// Whom it asks.
    pub servers: Vec<SocketAddr>,
    /// How it asks.
    pub config: Config,
    /// All its dice.
    pub seed: [u8; 32],
    /// Its first time.
    pub at: Timestamp,
}

impl Recorded for Resolver {
    const NAME: &'static str = "resolver";
    type Beginning = Beginning;

    fn begin(beginning: Beginning) -> Result<Self, String> {
        let Beginning { service, servers, config, seed, at } = beginning;
        if at.is_never() {
            return Err("it never begins".to_string());
        }
        Self::new(&service, &servers, config, seed, at).map_err(|error| error.to_string())
    }

    fn event_line(&self, now: Timestamp, event: &Event) -> String {
        text::event_line(now, event)
    }

    fn read_event(text: &str) -> Result<Event, String> {
        let mut words = Words::new(text);
        let event = match words.next() {
            "datagram" => Event::Datagram(query(&mut words)?, bytes(&mut words)?),
            "opened" => Event::StreamOpened(query(&mut words)?),
            "bytes" => Event::StreamBytes(query(&mut words)?, bytes(&mut words)?),
            "closed" => Event::StreamClosed(query(&mut words)?),
            "failed" => Event::Failed(query(&mut words)?, failure(&mut words)?),
            "resolve" => {
                words.expect("now")?;
                Event::ResolveNow
            }
            "shut" => {
                words.expect("down")?;
                Event::ShutDown
            }
            "tick" => Event::Tick,
            other => return Err(format!("nobody knows the event '{other}'")),
        };
        words.end(event)
    }

    fn action_line(action: &Action) -> String {
        text::action_line(action)
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

fn query(words: &mut Words<'_>) -> Result<QueryId, String> {
    words.id('q').map(QueryId)
}

fn bytes(words: &mut Words<'_>) -> Result<Vec<u8>, String> {
    let word = words.next();
    BASE64.decode(word.as_bytes()).map_err(|error| format!("'{word}' is not base64: {error}"))
}

fn failure(words: &mut Words<'_>) -> Result<SocketFailure, String> {
    match words.rest() {
        "refused" => Ok(SocketFailure::Refused),
        "unreachable" => Ok(SocketFailure::Unreachable),
        "reset" => Ok(SocketFailure::Reset),
        "no socket" => Ok(SocketFailure::NoSocket),
        "other" => Ok(SocketFailure::Other),
        other => Err(format!("no socket fails with '{other}'")),
    }
}
