//! Where a stats server is, completed from what somebody wrote.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// What is asked where nothing else is written.
pub const DEFAULT: &str = "ws://127.0.0.1:42069/qtop/stats";
const PORT: u16 = 42069;
const PATH: &str = "/qtop/stats";

/// A stats server, one of its pools, and how often that is to be told about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// A name, or an address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    path: String,
    /// The pool as it is written in a query; the first one where there is none.
    pool: Option<String>,
    /// The other parts of the query, which are the server's affair.
    query: Vec<String>,
    /// Seconds between two frames.
    pub seconds: u8,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if ["ws", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
                rest
            }
            Some((scheme, _)) => return Err(format!("'{scheme}' is not spoken: write ws://HOST:PORT{PATH}")),
        };
        if let Some(c) = rest.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!("{c:?} does not belong into an address"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority)?;
        let path = if path.len() < 2 { PATH } else { path }.to_owned();
        let mut address = Self { host, port, path, pool: None, query: Vec::new(), seconds: 1 };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("pool", pool)) => address.pool = Some(pool.to_owned()),
                Some(("update_secs", seconds)) => {
                    let wrong = || format!("update_secs is 1 to 255, not '{seconds}'");
                    address.seconds = seconds.parse().ok().filter(|s| *s > 0).ok_or_else(wrong)?;
                }
                _ => address.query.push(part.to_owned()),
            }
        }
        Ok(address)
    }
}

fn host_and_port(authority: &str) -> Result<(String, u16), String> {
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((authority.to_owned(), PORT));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port > 0);
            (host, port.ok_or_else(|| format!("'{authority}' has no port between 1 and 65535"))?)
        }
        _ => (authority, PORT),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        }
    };
    if !is_host {
        return Err(format!("'{host}' is no host: write HOST:PORT, an IPv6 address in brackets"));
    }
    Ok((bare.unwrap_or(host).to_owned(), port))
}

impl Address {
    /// Host and port, as they are written.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.host.parse() {
            Ok(IpAddr::V6(host)) => format!("[{host}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => format!("{}:{}", self.host, self.port),
        }
    }

    /// What the websocket is asked for.
    #[must_use]
    pub fn stats(&self) -> String {
        let mut query = vec![format!("update_secs={}", self.seconds)];
        query.extend(self.pool_query());
        query.extend(self.query.iter().cloned());
        format!("ws://{}{}?{}", self.authority(), self.path, query.join("&"))
    }

    /// The address as people know it.
    #[must_use]
    pub fn shown(&self) -> String {
        let query = self.pool_query().map(|pool| format!("?{pool}")).unwrap_or_default();
        format!("ws://{}{}{query}", self.authority(), self.path)
    }

    /// The list of pools.
    #[must_use]
    pub fn pools(&self) -> String {
        self.beside("pools")
    }

    /// Why the pool is as it is.
    #[must_use]
    pub fn explain(&self) -> String {
        let query = self.pool_query().map(|pool| format!("?{pool}")).unwrap_or_default();
        self.beside("explain") + &query
    }

    /// Turns to another pool.
    pub fn choose(&mut self, pool: &str) {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let encode =
            |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        self.pool = Some(pool.bytes().map(encode).collect());
    }

    fn pool_query(&self) -> Option<String> {
        self.pool.as_ref().map(|pool| format!("pool={pool}"))
    }

    fn beside(&self, page: &str) -> String {
        let folder = self.path.rfind('/').map_or("", |end| &self.path[..end]);
        format!("{folder}/{page}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_completed() {
        let table = [
            (DEFAULT, "ws://127.0.0.1:42069/qtop/stats?update_secs=1"),
            ("localhost:8080", "ws://localhost:8080/qtop/stats?update_secs=1"),
            ("localhost", "ws://localhost:42069/qtop/stats?update_secs=1"),
            ("http://[::1]:80/", "ws://[::1]:80/qtop/stats?update_secs=1"),
            ("[::1]", "ws://[::1]:42069/qtop/stats?update_secs=1"),
            ("::1", "ws://[::1]:42069/qtop/stats?update_secs=1"),
            ("HTTP://h:1/app/stats?x&pool=a%20b", "ws://h:1/app/stats?update_secs=1&pool=a%20b&x"),
            ("ws://h:1?update_secs=7#top", "ws://h:1/qtop/stats?update_secs=7"),
        ];
        for (text, url) in table {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.stats(), url, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        let table = [
            ("", "no host"),
            ("wss://h:1/qtop/stats", "not spoken"),
            ("h:0", "no port"),
            ("h:99999", "no port"),
            ("[::1", "no host"),
            ("[x]:1", "no host"),
            ("me@h:1", "no host"),
            ("h:1/\u{1b}", "does not belong"),
            ("a b:1", "does not belong"),
            ("h:1?update_secs=0", "1 to 255"),
            ("h:1?update_secs=256", "1 to 255"),
        ];
        for (text, reason) in table {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn other_pages_lie_beside_the_stats() {
        let mut address: Address = "h:1/app/stats".parse().expect("it is one");
        assert_eq!((address.pools(), address.explain()), ("/app/pools".into(), "/app/explain".into()));
        address.choose("a b/ü");
        assert_eq!(address.explain(), "/app/explain?pool=a%20b%2F%C3%BC");
        assert_eq!(address.stats(), "ws://h:1/app/stats?update_secs=1&pool=a%20b%2F%C3%BC");
    }
}
