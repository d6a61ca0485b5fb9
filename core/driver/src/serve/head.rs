//! What a client asks for, and whether it may ask.
//!
//! A browser lets any web page open a websocket to anywhere, and a page's own host name may be made to lead
//! here. So only those are let in that call the server by a name that is its own, and whose page, if they are
//! one's, came from here.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::answer::Answer;

/// The longest head of a request, in bytes.
pub(super) const MOST: usize = 8 * 1024;
/// The most headers.
const HEADERS: usize = 64;

/// A request that may be answered.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) path: String,
    query: Vec<(String, String)>,
    /// Whether a websocket is wanted; then how its keys begin.
    pub(super) upgrade: Option<String>,
    /// What came after the head.
    pub(super) rest: Vec<u8>,
}

impl Request {
    /// The last value that the query has for this key.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().rev().find(|(of, _)| of == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads a request; `None` where more has to come. `is_ours` knows the names, in lower case, by which the
/// server may be called.
pub(super) fn parse(bytes: &[u8], is_ours: impl Fn(&str) -> bool) -> Result<Option<Request>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Answer::refusal(431, format!("a request has at most {HEADERS} headers")));
        }
        Err(error) => return Err(Answer::refusal(400, format!("this is no request: {error}"))),
    };
    let headers = Headers(head.headers);
    let host = headers.only("host")?.ok_or_else(|| Answer::refusal(400, "a request names its Host"))?;
    if !host_name(host).is_some_and(|name| is_local(&name) || is_ours(&name)) {
        return Err(Answer::refusal(403, format!("this server is not called '{}'", host.escape_debug())));
    }
    let origin = headers.only("origin")?;
    let from_here = |origin: &str| {
        let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        of.is_some_and(|of| of.eq_ignore_ascii_case(host))
    };
    if !origin.is_none_or(from_here) {
        return Err(Answer::refusal(403, "pages of another origin get nothing here"));
    }
    if head.method != Some("GET") {
        return Err(Answer::refusal(405, "there is only GET").with("Allow", "GET"));
    }
    let (path, query) = target(head.path.unwrap_or_default())?;
    let (upgrade, rest) = (headers.upgrade()?, bytes[length..].to_vec());
    Ok(Some(Request { path, query, upgrade, rest }))
}

struct Headers<'head>(&'head [httparse::Header<'head>]);

impl<'head> Headers<'head> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'head [u8]> {
        self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// A header that may be given once.
    fn only(&self, name: &str) -> Result<Option<&'head str>, Answer> {
        let mut all = self.all(name);
        match (all.next().map(std::str::from_utf8), all.next()) {
            (None, _) => Ok(None),
            (Some(Ok(value)), None) => Ok(Some(value)),
            (Some(_), _) => Err(Answer::refusal(400, format!("{name} is one word, given once"))),
        }
    }

    /// Whether a list has this word.
    fn lists(&self, name: &str, word: &str) -> bool {
        let words = self.all(name).flat_map(|value| value.split(|byte| *byte == b','));
        words.map(<[u8]>::trim_ascii).any(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The key of a websocket that is wanted (RFC 6455, 4.2.1).
    fn upgrade(&self) -> Result<Option<String>, Answer> {
        if !self.lists("upgrade", "websocket") || !self.lists("connection", "upgrade") {
            return Ok(None);
        }
        if !self.lists("sec-websocket-version", "13") {
            let answer = Answer::refusal(426, "websockets are of version 13");
            return Err(answer.with("Sec-WebSocket-Version", "13"));
        }
        // 16 bytes in base64.
        match self.only("sec-websocket-key")? {
            Some(key) if key.len() == 24 => Ok(Some(key.to_owned())),
            Some(_) | None => Err(Answer::refusal(400, "a websocket has a key of 16 bytes in base64")),
        }
    }
}

/// The name in a Host, without its port, in lower case.
fn host_name(host: &str) -> Option<String> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address.parse::<Ipv6Addr>().ok()?.to_string(), port),
        None => {
            let end = host.find(':').unwrap_or(host.len());
            (host[..end].to_ascii_lowercase(), &host[end..])
        }
    };
    let sound = match port.strip_prefix(':') {
        Some(digits) => digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    sound.then_some(name)
}

/// Whether nobody's DNS has a say in what this name means.
fn is_local(name: &str) -> bool {
    name == "localhost" || name.parse::<Ipv4Addr>().is_ok() || name.parse::<Ipv6Addr>().is_ok()
}

/// A path, and its query taken apart.
fn target(target: &str) -> Result<(String, Vec<(String, String)>), Answer> {
    // Proxies ask with the whole address (RFC 9112, 3.2.2).
    let path = match target.strip_prefix("http://") {
        Some(address) => address.find('/').map_or("/", |start| &address[start..]),
        None => target,
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(key)?, decoded(value)?))
    });
    let pairs = pairs.collect::<Option<_>>();
    let query = pairs.ok_or_else(|| Answer::refusal(400, "the query is not what a form would send"))?;
    Ok((path.to_owned(), query))
}

/// Text as forms encode it.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Result<Option<Request>, String> {
        let request = parse(head.as_bytes(), |name| name == "stats.example");
        request.map_err(|answer| answer.to_string().lines().next().unwrap_or_default().to_owned())
    }

    fn request(line: &str, headers: &[&str]) -> String {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        format!("{line} HTTP/1.1\r\n{headers}\r\n")
    }

    #[test]
    fn a_request_is_read_once_all_of_it_is_there() {
        let head = request("GET /qtop/stats?pool=a%20b+c%C3%A9&update_secs=2", &["Host: localhost"]);
        for end in 0..head.len() {
            assert_eq!(parsed(&head[..end]), Ok(None), "{end}");
        }
        let request = parsed(&format!("{head}rest")).expect("it is sound").expect("it is all there");
        assert_eq!((request.path.as_str(), request.upgrade.as_deref()), ("/qtop/stats", None));
        assert_eq!(request.value("pool"), Some("a b cé"));
        assert_eq!(request.value("update_secs"), Some("2"));
        assert_eq!(request.value("other"), None);
        assert_eq!(request.rest, b"rest");
        let whole = parsed(&self::request("GET http://localhost/healthz?a=b", &["Host: localhost"]));
        let whole = whole.expect("it is sound").expect("it is all there");
        assert_eq!((whole.path.as_str(), whole.value("a")), ("/healthz", Some("b")));
    }

    #[test]
    fn only_those_are_let_in_who_call_the_server_by_a_name_of_its_own() {
        let good = ["localhost", "LOCALHOST:42069", "127.0.0.1:1", "10.1.2.3", "[::1]", "[::1]:42069"];
        for host in good.into_iter().chain(["stats.example:80", "Stats.Example"]) {
            assert!(parsed(&request("GET /", &[&format!("Host: {host}")])).is_ok(), "{host}");
        }
        let bad =
            ["evil.example", "localhost.evil.example", "", ":80", "[::1", "localhost:x", "localhost:99999"];
        for host in bad.into_iter().chain(["127.0.0.1.evil.example", "[::1]x", "evil.example:localhost"]) {
            let refused = parsed(&request("GET /", &[&format!("Host: {host}")]));
            assert_eq!(refused, Err("HTTP/1.1 403 Forbidden".to_owned()), "{host}");
        }
        let refused = Err("HTTP/1.1 400 Bad Request".to_owned());
        assert_eq!(parsed(&request("GET /", &[])), refused);
        assert_eq!(parsed(&request("GET /", &["Host: localhost", "Host: localhost"])), refused);
    }

    #[test]
    fn pages_of_another_origin_get_nothing() {
        let asked = |origin: &str| {
            parsed(&request("GET /", &["Host: localhost:1", &format!("Origin: {origin}")])).map(|_| ())
        };
        assert_eq!(asked("http://localhost:1"), Ok(()));
        assert_eq!(asked("https://LocalHost:1"), Ok(()));
        for origin in
            ["http://localhost", "http://localhost:2", "null", "", "http://evil.example", "localhost:1"]
        {
            assert_eq!(asked(origin), Err("HTTP/1.1 403 Forbidden".to_owned()), "{origin}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let host = "Host: localhost";
        let many = vec!["A: b"; 100];
        let socket = ["Upgrade: websocket", "Connection: keep-alive, Upgrade", host];
        let old = [&socket[..], &["Sec-WebSocket-Version: 8"]].concat();
        let keyless = [&socket[..], &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"]].concat();
        let cases = [
            ("\x16\x03\x01\x02\x00".to_owned(), "400 Bad Request"),
            (request("POST /", &[host]), "405 Method Not Allowed"),
            (request("GET /", &many), "431 Request Header Fields Too Large"),
            (request("GET /?a=%zz", &[host]), "400 Bad Request"),
            (request("GET /?a=%ff", &[host]), "400 Bad Request"),
            (request("GET /", &old), "426 Upgrade Required"),
            (request("GET /", &keyless), "400 Bad Request"),
        ];
        for (head, refusal) in cases {
            assert_eq!(parsed(&head), Err(format!("HTTP/1.1 {refusal}")), "{head:?}");
        }
    }

    #[test]
    fn a_websocket_is_recognised() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let key_header = format!("sec-websocket-key: {key}");
        let headers = [
            "host: localhost",
            "upgrade: WebSocket",
            "connection: keep-alive, Upgrade",
            "sec-websocket-version: 13",
        ];
        let head = request("GET /", &[&headers[..], &[&key_header]].concat());
        let request = parsed(&head).expect("it is sound").expect("it is all there");
        assert_eq!(request.upgrade.as_deref(), Some(key));
    }
}
