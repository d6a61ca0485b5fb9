//! Reading what the events of both machines are made of: words with a space between them.

use alloc::format;
use alloc::string::{String, ToString as _};
use core::net::SocketAddr;
use core::str::FromStr;

use crate::backend::Backend;
use crate::time::Timestamp;

/// The words of a line that have not been read yet.
#[derive(Clone, Debug)]
pub(crate) struct Words<'line>(&'line str);

impl<'line> Words<'line> {
    pub(crate) fn new(line: &'line str) -> Self {
        Self(line.trim_end())
    }

    /// The next word; the empty one at the end.
    pub(crate) fn next(&mut self) -> &'line str {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        word
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'line str {
        core::mem::take(&mut self.0)
    }

    /// Passes over these words, where they come next.
    pub(crate) fn skip(&mut self, words: &str) -> bool {
        let rest = self.0.strip_prefix(words).filter(|rest| rest.is_empty() || rest.starts_with(' '));
        self.0 = rest.map_or(self.0, |rest| rest.strip_prefix(' ').unwrap_or(rest));
        rest.is_some()
    }

    /// Passes over these words, which have to come next.
    pub(crate) fn expect(&mut self, words: &str) -> Result<(), String> {
        if self.skip(words) { Ok(()) } else { Err(format!("'{}' is not '{words}'", self.0)) }
    }

    pub(crate) fn number<N: FromStr>(&mut self) -> Result<N, String> {
        let word = self.next();
        word.parse().map_err(|_| format!("'{word}' is no number in range"))
    }

    /// A letter and a number: how ids are written.
    pub(crate) fn id(&mut self, letter: char) -> Result<u32, String> {
        let word = self.next();
        let number = word.strip_prefix(letter).and_then(|number| number.parse().ok());
        number.ok_or_else(|| format!("'{word}' is not '{letter}' and a number"))
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, String> {
        let word = self.next();
        time(word).ok_or_else(|| format!("'{word}' is no time in milliseconds"))
    }

    pub(crate) fn backend(&mut self) -> Result<Backend, String> {
        let word = self.next();
        backend(word).ok_or_else(|| format!("'{word}' is no backend"))
    }

    pub(crate) fn has_more(&self) -> bool {
        !self.0.is_empty()
    }

    /// Says that everything has been read.
    pub(crate) fn end<T>(self, read: T) -> Result<T, String> {
        if self.0.is_empty() { Ok(read) } else { Err(format!("nobody expects '{}'", self.0)) }
    }
}

/// Milliseconds, with a fraction of six digits where there is one.
fn time(word: &str) -> Option<Timestamp> {
    if word == "never" {
        return Some(Timestamp::NEVER);
    }
    let (millis, fraction) = word.split_once('.').unwrap_or((word, "000000"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() != 6 || !digits(fraction) || !digits(millis) {
        return None;
    }
    let (millis, nanos): (u64, u64) = (millis.parse().ok()?, fraction.parse().ok()?);
    Some(Timestamp::from_nanos(millis.checked_mul(1_000_000)?.checked_add(nanos)?))
}

/// `name@address` and perhaps `/priority/weight`.
fn backend(word: &str) -> Option<Backend> {
    let (name, place) = word.rsplit_once('@')?;
    let mut parts = place.split('/');
    let address: SocketAddr = parts.next()?.parse().ok()?;
    let (priority, weight) = match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) => (0, 0),
        (Some(priority), Some(weight), None) => (priority.parse().ok()?, weight.parse().ok()?),
        _ => return None,
    };
    Some(Backend { name: unescaped(name)?.into(), address, priority, weight })
}

fn unescaped(name: &str) -> Option<String> {
    let mut pieces = name.split('%');
    let mut text = pieces.next()?.to_string();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(6)?;
        text.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        text += rest;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Exact;

    #[test]
    fn times_are_read_to_the_nanosecond_or_not_at_all() {
        for nanos in [0, 1, 999_999, 1_000_000, 10_034_817_095, u64::MAX - 1, u64::MAX] {
            let at = Timestamp::from_nanos(nanos);
            assert_eq!(time(&at.to_string()), Some(at), "{at}");
        }
        for word in ["", "1.5", "1.0000000", "-1", "+1", "1.00000x", "99999999999999999999", ".", "a"] {
            assert_eq!(time(word), None, "{word}");
        }
    }

    #[test]
    fn backends_are_read_back_whatever_they_are_called() {
        for name in ["a", "", "x@y", "with space", "100%", "%000041", "tab\t\u{a0}", "é", "127.0.0.1:80"] {
            for address in ["127.0.0.1:80", "[fe80::1%3]:80"] {
                for (priority, weight) in [(0, 0), (0, 1), (65535, 65535)] {
                    let address = address.parse().expect("an address");
                    let backend = Backend { priority, weight, ..Backend::new(name, address) };
                    let written = Exact(&backend).to_string();
                    assert!(!written.contains(char::is_whitespace), "{written}");
                    assert_eq!(super::backend(&written), Some(backend), "{written}");
                }
            }
        }
        for word in ["a", "a@b", "a@127.0.0.1:1/1", "a@127.0.0.1:1/1/1/1", "%1@127.0.0.1:1", "%ffffff@[::]:1"]
        {
            assert_eq!(super::backend(word), None, "{word}");
        }
    }
}
