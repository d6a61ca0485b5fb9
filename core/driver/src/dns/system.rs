//! The servers that the system asks, from the file in which it says so.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use qorb_core::dns::Config;

use super::DnsResolver;
use crate::error::SystemError;

/// Where Unix systems say whom to ask.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where DNS servers listen.
const PORT: u16 = 53;
/// The most that `options` may ask for: what is above counts as that, as it does to the system's own resolver.
const MOST_SECONDS: u64 = 30;
/// See [`MOST_SECONDS`].
const MOST_ATTEMPTS: u64 = 5;

impl DnsResolver {
    /// A resolver for `service` that asks the servers of `/etc/resolv.conf`; see [`DnsResolver::from_file`].
    ///
    /// # Errors
    ///
    /// As [`DnsResolver::from_file`].
    pub fn system(service: &str, config: Config) -> Result<Self, SystemError> {
        Self::from_file(RESOLV_CONF, service, config)
    }

    /// A resolver for `service` that asks the servers of a file in the form of `resolv.conf(5)`.
    ///
    /// It uses every `nameserver`, at the same time rather than one after the other, and `options timeout:` and
    /// `attempts:` in place of `attempt_timeout` and `attempts` of `config`. The file is read now, and not again. An
    /// address whose zone is a name, such as `fe80::1%eth0`, is passed over; a number is understood.
    ///
    /// # Errors
    ///
    /// The file cannot be read or names no server; or as [`DnsResolver::new`].
    pub fn from_file(path: impl AsRef<Path>, service: &str, config: Config) -> Result<Self, SystemError> {
        let path = path.as_ref();
        let read = fs::read(path);
        let text = read.map_err(|source| SystemError::Unreadable { path: path.to_owned(), source })?;
        let found = parse(&String::from_utf8_lossy(&text));
        if found.servers.is_empty() {
            return Err(SystemError::NoServer { path: path.to_owned() });
        }
        let attempt_timeout = found.timeout.unwrap_or(config.attempt_timeout);
        let attempts = found.attempts.unwrap_or(config.attempts);
        Ok(Self::new(service, found.servers, Config { attempt_timeout, attempts, ..config })?)
    }
}

/// What such a file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Found {
    servers: Vec<SocketAddr>,
    timeout: Option<Duration>,
    attempts: Option<u8>,
}

/// Reads such a file. What cannot be understood is passed over, as everybody does.
fn parse(text: &str) -> Found {
    let mut found = Found::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => found.servers.extend(words.next().and_then(server)),
            Some("options") => words.for_each(|option| found.take(option)),
            Some(_) | None => {}
        }
    }
    found
}

impl Found {
    /// Takes one of the options; the last of a kind counts.
    fn take(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else { return };
        let Ok(value) = value.parse::<u64>() else { return };
        match name {
            "timeout" => self.timeout = Some(Duration::from_secs(value.clamp(1, MOST_SECONDS))),
            "attempts" => self.attempts = value.clamp(1, MOST_ATTEMPTS).try_into().ok(),
            _ => {}
        }
    }
}

/// An address; or, as some systems write it, an address and a port. The zone of a link-local one must be a
/// number.
fn server(text: &str) -> Option<SocketAddr> {
    let plain = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    let plain = plain.or_else(|_| format!("[{text}]:{PORT}").parse());
    plain.or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file, its servers, its time-out and its attempts.
    type Row<'a> = (&'a str, &'a [&'a str], Option<Duration>, Option<u8>);

    #[test]
    fn a_file_is_read_as_the_system_reads_it() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let table: [Row<'_>; 12] = [
            ("", &[], None, None),
            ("nameserver 192.0.2.1\n", &["192.0.2.1:53"], None, None),
            ("nameserver\t2001:db8::1  \r\nnameserver ::1", &["[2001:db8::1]:53", "[::1]:53"], None, None),
            ("nameserver fe80::1%2", &["[fe80::1%2]:53"], None, None),
            (
                "nameserver [::1]:1234\nnameserver 127.0.0.1:5353",
                &["[::1]:1234", "127.0.0.1:5353"],
                None,
                None,
            ),
            (
                "# nameserver ::1\n;nameserver ::1\nnameserver\nnameserver localhost\nnameservers ::1",
                &[],
                None,
                None,
            ),
            ("nameserver ::1 # the one here\nsearch a.com b.com\ndomain c.com", &["[::1]:53"], None, None),
            ("options timeout:3 attempts:2", &[], seconds(3), Some(2)),
            (
                "options edns0 rotate\noptions attempts:4\noptions timeout:1\noptions timeout:2",
                &[],
                seconds(2),
                Some(4),
            ),
            ("options timeout:0 attempts:0", &[], seconds(1), Some(1)),
            ("options timeout:99999 attempts:99999", &[], seconds(30), Some(5)),
            ("options timeout: attempts:x timeout:-1 attempts", &[], None, None),
        ];
        for (text, servers, timeout, attempts) in table {
            let servers = servers.iter().map(|server| server.parse().expect("an address")).collect();
            assert_eq!(parse(text), Found { servers, timeout, attempts }, "{text:?}");
        }
    }

    #[test]
    fn what_the_file_says_is_what_is_asked_and_how() {
        let path = std::env::temp_dir().join(format!("qorb-resolv-{}", std::process::id()));
        let made = |text: &str| {
            fs::write(&path, text).expect("there is room for a file");
            DnsResolver::from_file(&path, "_echo._tcp.test.com", Config::default())
        };
        let resolver = made("nameserver ::1\noptions timeout:2 attempts:5").expect("it names a server");
        assert_eq!(resolver.bootstrap, ["[::1]:53".parse().expect("an address")]);
        let expected = Config { attempt_timeout: Duration::from_secs(2), attempts: 5, ..Config::default() };
        assert_eq!(resolver.config, expected);
        let resolver = made("nameserver ::1").expect("it names a server");
        assert_eq!(resolver.config, Config::default(), "what it does not say stays");

        let error = made("# nothing").expect_err("it names none");
        assert!(matches!(error, SystemError::NoServer { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "it is named: {error}");
        fs::remove_file(&path).expect("it is ours");
        let gone = DnsResolver::from_file(&path, "a", Config::default()).expect_err("there is none");
        assert!(matches!(gone, SystemError::Unreadable { .. }), "{gone}");
        assert!(gone.to_string().contains(&path.display().to_string()), "it is named: {gone}");
    }
}
