//! The page for browsers: one file, and nothing from anywhere else.

use super::Serve;
use super::answer::Answer;

const PAGE: &str = include_str!("page.html");

/// The page, whose script and style have a number that nobody can guess: no other script is run.
pub(super) fn page<R: Serve>(runtime: &R) -> Answer {
    let nonce: String = runtime.entropy()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    Answer::good("text/html; charset=utf-8", PAGE.replace("NONCE", &nonce))
        .with("Content-Security-Policy", &policy)
        .with("Referrer-Policy", "no-referrer")
}
