//! How a resolver's events, actions and notes read in a log: lower case, short ids, messages in base64.

use alloc::string::{String, ToString as _};
use core::fmt;

use data_encoding::BASE64;

use super::event::{Action, Event, SocketFailure};
use super::note::{Channel, Note};
use crate::backend::Exact;
use crate::time::Timestamp;

/// An event as a line of a log.
pub(super) fn event_line(now: Timestamp, event: &Event) -> String {
    let text = match event {
        Event::Datagram(query, bytes) => alloc::format!("datagram {query:?} {}", BASE64.encode(bytes)),
        Event::StreamOpened(query) => alloc::format!("opened {query:?}"),
        Event::StreamBytes(query, bytes) => alloc::format!("bytes {query:?} {}", BASE64.encode(bytes)),
        Event::StreamClosed(query) => alloc::format!("closed {query:?}"),
        Event::Failed(query, failure) => alloc::format!("failed {query:?} {failure}"),
        Event::ResolveNow => "resolve now".to_string(),
        Event::ShutDown => "shut down".to_string(),
        Event::Tick => "tick".to_string(),
    };
    alloc::format!("{now} {text}")
}

/// An action as a line of a log.
pub(super) fn action_line(action: &Action) -> String {
    match action {
        Action::Ask { query, server, message } => {
            alloc::format!("ask {query:?} {server} {}", BASE64.encode(message))
        }
        Action::OpenStream { query, server } => alloc::format!("open {query:?} {server}"),
        Action::Send(query, bytes) => alloc::format!("send {query:?} {}", BASE64.encode(bytes)),
        Action::Forget(query) => alloc::format!("forget {query:?}"),
        Action::Resolved(backends) => {
            let named = backends.iter().map(|backend| alloc::format!(" {}", Exact(backend)));
            alloc::format!("resolved{}", named.collect::<String>())
        }
        Action::Note(note) => note.to_string(),
    }
}

impl fmt::Display for SocketFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::NoSocket => "no socket",
            Self::Other => "other",
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundStarted { round, servers } => write!(f, "round {round} started, servers {servers}"),
            Self::Asked { query, server, question, channel, attempt } => {
                let by = match channel {
                    Channel::Datagram => "datagram",
                    Channel::Stream => "stream",
                };
                write!(f, "{query:?} asked {server} for {question} by {by}, attempt {attempt}")
            }
            Self::Answered { query, server, question, answer, took } => {
                write!(f, "{query:?} answered by {server} for {question} in {took:?}: {answer}")
            }
            Self::Ignored { query, why } => write!(f, "{query:?} ignored: {why}"),
            Self::Unanswered { server, question, why } => {
                write!(f, "{server} has no answer for {question}: {why}")
            }
            Self::ServerFailed { server, why, failures } => {
                write!(f, "{server} failed: {why}, {failures} in a row")
            }
            Self::EdnsRefused { server } => write!(f, "{server} refused edns"),
            Self::Dropped { server, records, why } => {
                write!(f, "{records} records of {server} not used: {why}")
            }
            Self::Flooded { server, question } => write!(f, "flooded while {server} is asked for {question}"),
            Self::ServerAppointed { server } => write!(f, "{server} appointed"),
            Self::ServerDismissed { server } => write!(f, "{server} dismissed"),
            Self::ServersLeftOut { servers } => write!(f, "{servers} servers left out"),
            Self::Discovery(note) => write!(f, "discovery: {note}"),
            Self::LeftOut { backends } => write!(f, "{backends} backends left out"),
            Self::Lapsed { server } => write!(f, "{server} lapsed"),
            Self::Stale { since } => write!(f, "stale since {since}"),
            Self::RoundEnded { round, positive, negative, failed, next } => write!(
                f,
                "round {round} ended, positive {positive} negative {negative} failed {failed}, next at {next}"
            ),
        }
    }
}
