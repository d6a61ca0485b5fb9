//! Messages on a stream: two bytes of length, then the message (RFC 1035 §4.2.2).

use alloc::vec::Vec;

/// A DNS header, without which nothing is a message.
const HEADER: usize = 12;

/// What arrived on a stream and was not yet read. It grows only with received bytes, never by an announced
/// length, and holds at most one incomplete message between two events.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Frames {
    received: Vec<u8>,
    read: usize,
}

/// A length that no message has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooShort;

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received.drain(..self.read);
        self.read = 0;
        self.received.extend_from_slice(bytes);
    }

    /// The next complete message. A length below a header's is an error as soon as it is known.
    pub(super) fn next_frame(&mut self) -> Option<Result<Vec<u8>, TooShort>> {
        let rest = &self.received[self.read..];
        let (length, body) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length < HEADER {
            return Some(Err(TooShort));
        }
        let message = body.get(..length)?.to_vec();
        self.read += 2 + length;
        Some(Ok(message))
    }
}

/// The length and the message, to be written at once.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a query is far shorter than 64 KiB");
    let mut framed = Vec::from(length.to_be_bytes());
    framed.extend_from_slice(message);
    framed
}
