//! Watches a pool on the terminal: `cargo run --bin qtop ws://127.0.0.1:42069/qtop/stats`

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;
use crossterm::style::force_color_output;
use qtop::arguments::Arguments;
use qtop::monitor::{self, Patience};
use qtop::plain::{self, Form};
use qtop::view::look::Look;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match smol::block_on(run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("error: {why}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let mut address = arguments.address;
    address.seconds = arguments.interval.unwrap_or(address.seconds);
    let frames = if arguments.once { Some(1) } else { arguments.count };
    let patience = Patience { frames, reconnect: !arguments.no_reconnect && !arguments.once };
    let is_terminal = stdout().is_terminal();
    let look = Look { colour: arguments.color.wanted(is_terminal), ascii: arguments.ascii };
    // The library has an opinion of its own about NO_COLOR.
    force_color_output(look.colour);
    if is_terminal && !arguments.once && !arguments.json {
        return monitor::watch(address, patience, look).await;
    }
    let form = if arguments.json { Form::Json } else { Form::Table };
    plain::print(address, patience, form, look, |trouble| say(&format!("qtop: {trouble}"))).await
}

/// Says something on standard error, where somebody may read it.
fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}
