//! The monitor without a screen: tables or lines of JSON, for pipes and scripts.

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use smol::channel::bounded;

use crate::address::Address;
use crate::frame::{Frame, is_treacherous};
use crate::link::{self, News};
use crate::model::{Model, figures};
use crate::monitor::Patience;
use crate::view::look::Look;
use crate::view::table::Columns;

/// How a frame is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// As a table.
    Table,
    /// As one line of JSON, with all that the server says.
    Json,
}

/// Writes frames to standard output, and what goes wrong meanwhile to `trouble`. That nobody reads them any
/// more is a good end.
///
/// # Errors
///
/// The link was lost and is not to be tried again, or the only frame that was asked for is none: why.
pub async fn print(
    address: Address,
    patience: Patience,
    form: Form,
    look: Look,
    mut trouble: impl FnMut(&str),
) -> Result<(), String> {
    let begin = Instant::now();
    let mut model = Model::new(address.shown(), address.seconds, Duration::ZERO);
    let (tell, news) = bounded(16);
    let _link = smol::spawn(link::follow(address, tell));
    while let Ok(news) = news.recv().await {
        match news {
            News::Heard(bytes) => {
                model.heard(&bytes, begin.elapsed());
                if let Some(why) = &model.bad {
                    let why = format!("bad frame: {why}");
                    if patience.frames == Some(1) {
                        return Err(why);
                    }
                    trouble(&why);
                    continue;
                }
                let text = match form {
                    Form::Table => table(&model, look),
                    Form::Json => json(&bytes),
                };
                let apart = if form == Form::Table && model.frames > 1 { "\n" } else { "" };
                match write!(io::stdout(), "{apart}{text}").and_then(|()| io::stdout().flush()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) => return Err(error.to_string()),
                }
                if patience.frames.is_some_and(|frames| model.frames >= frames) {
                    return Ok(());
                }
            }
            News::Lost { why, again } => {
                if !patience.reconnect {
                    let ended = model.frame.as_ref().is_some_and(|frame: &Frame| frame.ended);
                    return if ended { Ok(()) } else { Err(why) };
                }
                trouble(&format!("{why}; trying again in {}", figures::span(again)));
                model.lost(why, again, begin.elapsed());
            }
        }
    }
    Ok(())
}

/// A frame that was read, in one line that no terminal obeys.
fn json(bytes: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = value.to_string();
    let spelt = |c: char| if is_treacherous(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    let text: String = if text.contains(is_treacherous) { text.chars().map(spelt).collect() } else { text };
    text + "\n"
}

/// The pool in a line, and its backends in a table as wide as it needs to be.
fn table(model: &Model, look: Look) -> String {
    let rows = model.rows();
    let columns = Columns::all(&rows);
    let mut head = vec![
        model.name().to_owned(),
        format!("{} claims/s", figures::rate(model.claims().per_second())),
        format!("{} so far", figures::count(model.total_claims)),
    ];
    if let Some(frame) = &model.frame {
        head.extend(frame.waiting.map(|waiting| format!("{} waiting", figures::count(waiting))));
        head.extend(frame.ended.then(|| "ended".to_owned()));
    }
    let mut text = head.join(", ");
    let lines = rows.iter().map(|row| columns.row(row, look));
    for line in [columns.headings(&model.desk, look)].into_iter().chain(lines) {
        let plain: String = line.spans.iter().map(|span| look.painted(span)).collect();
        text.push('\n');
        text.push_str(plain.trim_end());
    }
    text.push('\n');
    if look.ascii { text.replace(|c: char| !c.is_ascii(), "?") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_line_that_no_terminal_obeys() {
        let line = json("{\"sets\":{\"a\\u001b[2J\u{9b}\u{7f}\\n\":{}},\n\"new\":[1, 2]}".as_bytes());
        assert_eq!(line, "{\"new\":[1,2],\"sets\":{\"a\\u001b[2J\\u009b\\u007f\\n\":{}}}\n");
    }
}
