//! One question to one server: a few datagrams, then perhaps a stream.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::config::{Config, Transport};
use super::event::{Action, QueryId};
use super::ids::Sockets;
use super::note::{Channel, Failure, Mismatch, Note, Question};
use super::server::PlainServers;
use super::stream::{Frames, frame};
use super::wire::{self, Asked, Header, Message, Name, rcode};
use crate::dns::note::{Answer, Kind};
use crate::time::Timestamp;

/// The attempt from which on EDNS is left out: something on the way may drop what has it (RFC 6891 §6.2.6).
const PLAIN_ATTEMPT: u8 = 3;

/// After so many datagrams that answer something else somebody may be guessing: a stream is harder to forge.
const MAX_FOREIGN_DATAGRAMS: u8 = 100;

/// How many messages that answer something else are read from one stream. It was opened for one question.
const MAX_FOREIGN_FRAMES: u8 = 16;

/// What a question is for. The name asked may differ: a target can be an alias.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Subject {
    /// The service's targets.
    Service,
    /// A target's addresses of one family.
    Target(Name, Kind),
}

/// What a question's answer leads to in the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Sought {
    /// The backends of the service.
    Backends,
    /// DNS servers to ask for them.
    Servers,
}

/// Who waits at a socket.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Owner {
    pub(super) sought: Sought,
    pub(super) server: SocketAddr,
    pub(super) subject: Subject,
}

/// Everything outside of an exchange that it works with.
#[derive(Debug)]
pub(super) struct Outside<'a> {
    pub(super) sought: Sought,
    pub(super) config: &'a Config,
    pub(super) sockets: &'a mut Sockets<Owner>,
    pub(super) plain: &'a mut PlainServers,
    pub(super) now: Timestamp,
    pub(super) out: &'a mut Vec<Action>,
}

impl Outside<'_> {
    pub(super) fn note(&mut self, note: Note) {
        self.out.push(Action::Note(note));
    }

    fn forget(&mut self, query: QueryId) {
        if self.sockets.close(query) {
            self.out.push(Action::Forget(query));
        }
    }
}

/// One question to one server, under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Exchange {
    owner: Owner,
    pub(super) question: Question,
    /// The payload size advertised with EDNS; none where the server is asked without.
    pub(super) payload: Option<u16>,
    /// How many datagrams it may take.
    pub(super) attempts: u8,
    /// How many datagrams answered something else.
    foreign: u8,
    pub(super) stage: Stage,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Stage {
    /// Datagrams are out. Older ones stay open: their answers are as good.
    Datagrams { open: Vec<Attempt>, sent: u8, due: Timestamp },
    /// A stream is being opened.
    Opening(Attempt),
    /// The question was written to the stream.
    Reading { attempt: Attempt, frames: Frames, foreign: u8 },
    /// All sockets are closed.
    Over,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Attempt {
    query: QueryId,
    id: u16,
    pub(super) number: u8,
    pub(super) payload: Option<u16>,
    at: Timestamp,
}

/// What an event did to an exchange.
#[derive(Debug)]
pub(super) enum Progress {
    /// It still waits.
    Waiting,
    /// It still waits: the server does not know EDNS and is being asked without.
    EdnsRefused,
    /// It is over.
    Answered { message: Message, query: QueryId, took: Duration },
    /// It is over.
    Failed(Failure),
}

/// What a message is to an attempt.
enum Relevance {
    None(Mismatch),
    Answer(Header),
}

impl Exchange {
    /// Asks.
    pub(super) fn start(
        owner: Owner,
        question: Question,
        payload: Option<u16>,
        attempts: u8,
        outside: &mut Outside<'_>,
    ) -> Self {
        let mut exchange = Self { owner, question, payload, attempts, foreign: 0, stage: Stage::Over };
        match outside.config.transport {
            Transport::UdpThenTcp => {
                let due = outside.now.after(outside.config.patience(1));
                let attempt = exchange.send_datagram(1, outside);
                exchange.stage = Stage::Datagrams { open: Vec::from([attempt]), sent: 1, due };
            }
            Transport::TcpOnly => exchange.open_stream(1, outside),
        }
        exchange
    }

    pub(super) fn question(&self) -> &Question {
        &self.question
    }

    /// When the attempt timer fires. A stream has none: the lookup's deadline is its own.
    pub(super) fn due(&self) -> Timestamp {
        match &self.stage {
            Stage::Datagrams { due, .. } => *due,
            Stage::Opening(_) | Stage::Reading { .. } | Stage::Over => Timestamp::NEVER,
        }
    }

    /// The attempt timer fired.
    pub(super) fn fire(&mut self, outside: &mut Outside<'_>) -> Progress {
        let Stage::Datagrams { sent, due, .. } = &self.stage else { return Progress::Waiting };
        let sent = *sent;
        if *due > outside.now {
            return Progress::Waiting;
        }
        if sent == self.attempts {
            return self.fail(Failure::Timeout, outside);
        }
        let attempt = self.send_datagram(sent + 1, outside);
        if let Stage::Datagrams { open, sent, due } = &mut self.stage {
            open.push(attempt);
            *sent += 1;
            *due = outside.now.after(outside.config.patience(*sent));
        }
        Progress::Waiting
    }

    /// A datagram arrived.
    pub(super) fn datagram(&mut self, query: QueryId, bytes: &[u8], outside: &mut Outside<'_>) -> Progress {
        let Stage::Datagrams { open, .. } = &self.stage else {
            return ignore(query, Mismatch::Closed, outside);
        };
        let Some(attempt) = open.iter().find(|attempt| attempt.query == query).cloned() else {
            return ignore(query, Mismatch::Closed, outside);
        };
        match relevance(bytes, attempt.id, &self.question) {
            Relevance::None(why) => self.pass_over(&attempt, why, outside),
            Relevance::Answer(header) if is_cut(&header) => {
                self.note_truncated(&attempt, outside);
                self.close(outside);
                self.open_stream(attempt.number, outside);
                Progress::Waiting
            }
            Relevance::Answer(header) => self.take(&attempt, &header, bytes, outside),
        }
    }

    /// A datagram answers something else. Whoever guesses at ids gets only so many guesses (RFC 5452 §9.3).
    fn pass_over(&mut self, attempt: &Attempt, why: Mismatch, outside: &mut Outside<'_>) -> Progress {
        self.foreign += 1;
        let progress = ignore(attempt.query, why, outside);
        if self.foreign == MAX_FOREIGN_DATAGRAMS {
            outside.note(Note::Flooded { server: self.owner.server, question: self.question.clone() });
            self.close(outside);
            self.open_stream(attempt.number, outside);
        }
        progress
    }

    /// The stream is open: the length and the message go out in one write (RFC 7766 §8).
    pub(super) fn opened(&mut self, query: QueryId, outside: &mut Outside<'_>) {
        let Stage::Opening(attempt) = &self.stage else { return };
        if attempt.query != query {
            return;
        }
        let attempt = attempt.clone();
        let message = wire::encode_query(attempt.id, &self.question, attempt.payload);
        outside.out.push(Action::Send(query, frame(&message)));
        self.stage = Stage::Reading { attempt, frames: Frames::default(), foreign: 0 };
    }

    /// Bytes arrived on the stream, in any fragmentation.
    pub(super) fn bytes(&mut self, query: QueryId, bytes: &[u8], outside: &mut Outside<'_>) -> Progress {
        let Stage::Reading { attempt, frames, foreign } = &mut self.stage else { return Progress::Waiting };
        if attempt.query != query {
            return Progress::Waiting;
        }
        let attempt = attempt.clone();
        frames.push(bytes);
        while let Some(message) = frames.next_frame() {
            let Ok(message) = message else { return self.fail(Failure::Malformed, outside) };
            match relevance(&message, attempt.id, &self.question) {
                Relevance::None(why) => {
                    ignore(query, why, outside);
                    *foreign += 1;
                    if *foreign == MAX_FOREIGN_FRAMES {
                        return self.fail(Failure::Malformed, outside);
                    }
                }
                Relevance::Answer(header) if is_cut(&header) => {
                    return self.fail(Failure::Malformed, outside);
                }
                Relevance::Answer(header) => return self.take(&attempt, &header, &message, outside),
            }
        }
        Progress::Waiting
    }

    /// A socket or stream failed, and is gone.
    ///
    /// A refused datagram does not hurry the next one: the server may be restarting.
    pub(super) fn gone(&mut self, query: QueryId, outside: &mut Outside<'_>) -> Progress {
        outside.sockets.close(query);
        match &mut self.stage {
            Stage::Datagrams { open, sent, .. } => {
                open.retain(|attempt| attempt.query != query);
                if open.is_empty() && *sent == self.attempts {
                    return self.fail(Failure::Unreachable, outside);
                }
                Progress::Waiting
            }
            Stage::Opening(_) | Stage::Reading { .. } => self.fail(Failure::Stream, outside),
            Stage::Over => Progress::Waiting,
        }
    }

    /// The server closed the stream before it answered. What it said in a cut datagram stays unused.
    pub(super) fn closed(&mut self, outside: &mut Outside<'_>) -> Progress {
        self.fail(Failure::Stream, outside)
    }

    /// Closes every socket; nothing follows.
    pub(super) fn close(&mut self, outside: &mut Outside<'_>) {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Datagrams { open, .. } => open.iter().for_each(|attempt| outside.forget(attempt.query)),
            Stage::Opening(attempt) | Stage::Reading { attempt, .. } => outside.forget(attempt.query),
            Stage::Over => {}
        }
    }

    fn fail(&mut self, why: Failure, outside: &mut Outside<'_>) -> Progress {
        self.close(outside);
        Progress::Failed(why)
    }

    /// Takes a message that answers this question, whatever it says.
    fn take(
        &mut self,
        attempt: &Attempt,
        header: &Header,
        bytes: &[u8],
        outside: &mut Outside<'_>,
    ) -> Progress {
        let decoded = wire::decode(header, bytes);
        let rcode = decoded.as_ref().map_or(header.rcode, |message| message.rcode);
        let knows_edns = decoded.as_ref().is_ok_and(|message| message.has_edns);
        let refuses_edns = match rcode {
            rcode::BAD_VERSION => true,
            rcode::FORMAT_ERROR | rcode::NOT_IMPLEMENTED => !knows_edns,
            _ => false,
        };
        if refuses_edns && attempt.payload.is_some() {
            self.repeat_plain(attempt.number, outside);
            return Progress::EdnsRefused;
        }
        match decoded {
            Ok(message) => {
                self.close(outside);
                Progress::Answered { message, query: attempt.query, took: outside.now.since(attempt.at) }
            }
            Err(wire::Unreadable) => self.fail(unreadable(header.rcode), outside),
        }
    }

    /// Asks once more, without EDNS, at once and on the same channel. The schedule of attempts goes on.
    fn repeat_plain(&mut self, number: u8, outside: &mut Outside<'_>) {
        self.payload = None;
        let before = self.stage.clone();
        self.close(outside);
        match before {
            Stage::Datagrams { sent, due, .. } => {
                let attempt = self.send_datagram(number, outside);
                self.stage = Stage::Datagrams { open: Vec::from([attempt]), sent, due };
            }
            Stage::Opening(_) | Stage::Reading { .. } => self.open_stream(number, outside),
            Stage::Over => {}
        }
    }

    fn send_datagram(&self, number: u8, outside: &mut Outside<'_>) -> Attempt {
        let payload = self.payload.filter(|_| number < PLAIN_ATTEMPT);
        let attempt = self.attempt(number, payload, Channel::Datagram, outside);
        let message = wire::encode_query(attempt.id, &self.question, payload);
        outside.out.push(Action::Ask { query: attempt.query, server: self.owner.server, message });
        attempt
    }

    fn open_stream(&mut self, number: u8, outside: &mut Outside<'_>) {
        let attempt = self.attempt(number, self.payload, Channel::Stream, outside);
        outside.out.push(Action::OpenStream { query: attempt.query, server: self.owner.server });
        self.stage = Stage::Opening(attempt);
    }

    fn attempt(
        &self,
        number: u8,
        payload: Option<u16>,
        channel: Channel,
        outside: &mut Outside<'_>,
    ) -> Attempt {
        let server = self.owner.server;
        let (query, id) = outside.sockets.open(server, self.owner.clone());
        let question = self.question.clone();
        outside.note(Note::Asked { query, server, question, channel, attempt: number });
        Attempt { query, id, number, payload, at: outside.now }
    }

    fn note_truncated(&self, attempt: &Attempt, outside: &mut Outside<'_>) {
        let took = outside.now.since(attempt.at);
        outside.note(Note::Answered {
            query: attempt.query,
            server: self.owner.server,
            question: self.question.clone(),
            answer: Answer::Truncated,
            took,
        });
    }
}

fn ignore(query: QueryId, why: Mismatch, outside: &mut Outside<'_>) -> Progress {
    outside.note(Note::Ignored { query, why });
    Progress::Waiting
}

/// Whether a message answers the attempt at all (RFC 5452 §9.1). Some servers leave the question out of
/// an error (NSD and BIND with NOTIMP, many with FORMERR).
fn relevance(bytes: &[u8], id: u16, question: &Question) -> Relevance {
    let Some(header) = wire::decode_header(bytes) else { return Relevance::None(Mismatch::TooShort) };
    if header.id != id {
        return Relevance::None(Mismatch::Id);
    }
    if !header.is_response {
        return Relevance::None(Mismatch::NotResponse);
    }
    if !header.is_standard {
        return Relevance::None(Mismatch::Opcode);
    }
    let is_bare_error = matches!(
        header.rcode,
        rcode::FORMAT_ERROR | rcode::SERVER_FAILURE | rcode::NOT_IMPLEMENTED | rcode::REFUSED
    );
    match header.questions {
        0 if is_bare_error => Relevance::Answer(header),
        1 => match wire::compare_question(bytes, question) {
            Asked::Same => Relevance::Answer(header),
            Asked::Other => Relevance::None(Mismatch::OtherQuestion),
            Asked::Unreadable => Relevance::None(Mismatch::NoQuestion),
        },
        _ => Relevance::None(Mismatch::NoQuestion),
    }
}

/// Whether the answer is only part of one: none of its records counts (RFC 2181 §9).
fn is_cut(header: &Header) -> bool {
    header.is_truncated && matches!(header.rcode, rcode::NO_ERROR | rcode::NO_SUCH_NAME)
}

/// What an answer says of which only the header can be read.
fn unreadable(rcode: u16) -> Failure {
    match rcode {
        rcode::NO_ERROR | rcode::NO_SUCH_NAME => Failure::Malformed,
        rcode::REFUSED => Failure::Refused,
        other => Failure::Rcode(other),
    }
}
