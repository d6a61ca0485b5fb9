//! What a client is told that asked without a websocket.

use std::fmt;

/// A whole answer. The connection is closed after it.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    kind: &'static str,
    /// Headers beyond those that every answer has.
    headers: String,
    body: String,
}

impl Answer {
    /// What was asked for.
    pub(super) fn good(kind: &'static str, body: String) -> Self {
        Self { status: 200, kind, headers: String::new(), body }
    }

    /// A JSON object.
    pub(super) fn json(body: String) -> Self {
        Self::good("application/json", body + "\n")
    }

    /// Why not.
    pub(super) fn refusal(status: u16, why: impl Into<String>) -> Self {
        let body = why.into() + "\n";
        Self { status, kind: "text/plain; charset=utf-8", headers: String::new(), body }
    }

    /// The same with one more header.
    pub(super) fn with(mut self, header: &str, value: &str) -> Self {
        self.headers += &format!("{header}: {value}\r\n");
        self
    }
}

/// What a status is called.
fn title(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

impl fmt::Display for Answer {
    /// As it is written to the stream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, kind, headers, body } = self;
        write!(f, "HTTP/1.1 {status} {}\r\n", title(*status))?;
        write!(f, "Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len())?;
        write!(f, "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n")?;
        write!(f, "{headers}\r\n{body}")
    }
}
