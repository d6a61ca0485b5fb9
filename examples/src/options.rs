//! What the programs are asked to do, how they speak, and how they end.

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::load::{Work, describe};

/// The options of every load.
#[derive(Clone, Debug, Args)]
pub struct LoadOptions {
    /// The async runtime to run on
    #[arg(long, value_enum, default_value_t = RuntimeName::Tokio)]
    pub runtime: RuntimeName,
    /// How long to run: 10s, 500ms, 2m [default: 10s; on a screen, until q]
    #[arg(long = "for", value_name = "TIME", value_parser = positive, allow_hyphen_values = true)]
    pub limit: Option<Duration>,
    /// How many claimers are at work at once
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub claimers: u16,
    /// How long each claimer holds its connection: 20ms, 0s
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = duration, allow_hyphen_values = true)]
    pub hold: Duration,
}

impl LoadOptions {
    /// How long to run where nobody can end it.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.limit.unwrap_or(Duration::from_secs(10))
    }

    /// What the claimers do.
    #[must_use]
    pub fn work(&self) -> Work {
        Work { claimers: usize::from(self.claimers), hold: self.hold }
    }
}

/// A runtime to choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum RuntimeName {
    /// qorb-tokio.
    Tokio,
    /// qorb-smol.
    Smol,
}

/// Reads a duration: a number and a unit, `ms`, `s`, `m` or `h`.
///
/// # Errors
///
/// It is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let unreadable = || format!("'{text}' is no duration: write a number and ms, s, m or h, such as 10s");
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(unreadable)?;
    let (number, unit) = text.split_at(unit);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(unreadable()),
    };
    let number: u32 = number.parse().map_err(|_| unreadable())?;
    Ok(Duration::from_millis(u64::from(number) * millis))
}

/// Reads a duration that is not zero.
///
/// # Errors
///
/// It is none, or is zero.
pub fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be some time: 10s, 500ms".to_owned()),
        span => Ok(span),
    }
}

/// Says something on standard output.
///
/// # Errors
///
/// It cannot be written to: [`ErrorKind::BrokenPipe`] when nobody reads it any more.
pub fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Ends a program: 1 and a line about it where it failed. That nobody reads what it says any more is a
/// good end, as in `quickstart | head -1`.
#[allow(clippy::print_stderr, reason = "it is the last line of a program")]
pub fn exit(result: Result<bool, Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if is_unheard(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", describe(&*error));
            ExitCode::FAILURE
        }
    }
}

fn is_unheard(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// A loopback address with a port that the system picks: IPv6, or IPv4 where that is all there is.
///
/// # Errors
///
/// There is neither.
pub fn loopback() -> io::Result<SocketAddr> {
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    match TcpListener::bind(v6) {
        Ok(_) => Ok(v6),
        Err(_) => TcpListener::bind(v4).map(|_| v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused_with_a_reason() {
        let good = [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)];
        for (text, millis) in good {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1.5s", "10 s", "10sec", "99999999999s", "é"] {
            let reason = duration(text).expect_err(text);
            assert!(reason.contains("such as 10s"), "{text}: {reason}");
        }
        assert!(positive("0ms").is_err());
    }
}
