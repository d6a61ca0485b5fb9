//! What can be set about a resolver, with the defaults, and what is refused.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use super::note::Kind;

/// The most datagrams that a question may take; the system's resolver has the same bound.
const MOST_ATTEMPTS: u8 = 5;

/// How a resolver asks, and how it treats what it hears.
///
/// Start from [`Config::default`] and change what matters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "record", serde(default, deny_unknown_fields))]
pub struct Config {
    /// The name of a service whose backends are DNS servers: they are found through the bootstrap servers, and
    /// asked beside these for as long as they are found. Default `None`.
    pub resolver_service: Option<String>,
    /// How many servers are asked for one name at the same time. Default 5.
    pub max_dns_concurrency: usize,
    /// The longest time between two rounds, however long the records live. Default 60 s.
    pub query_interval: Duration,
    /// How long to wait after a round in which the servers knew no records. Default 10 s.
    pub query_retry_if_no_records_found: Duration,
    /// How long one server's whole lookup may take: the service's question and all addresses. Default 10 s.
    pub query_timeout: Duration,
    /// Replaces the time to live of every record; `Duration::MAX` means never stale. Default `None`.
    ///
    /// Addresses are then asked for again in every round, so that a target that moves is noticed.
    pub hardcoded_ttl: Option<Duration>,
    /// How long the first datagram of a question is waited for; each further one is waited for twice as long as
    /// the one before. Less where all of them would not fit into `query_timeout`. Default 1 s.
    pub attempt_timeout: Duration,
    /// How many datagrams a question may take, 1 to 5. From the third on they are plain, without EDNS: something
    /// on the way may drop what has it (RFC 6891 §6.2.6). Default 3 (RFC 1035 §4.2.1, RFC 1536 §1).
    pub attempts: u8,
    /// The shortest time between two rounds once a set was published, however short the records live;
    /// `query_interval` where that is shorter. Default 5 s.
    pub min_query_interval: Duration,
    /// What to do with a set that nobody confirms. Default [`StalePolicy::KeepForever`].
    pub stale: StalePolicy,
    /// After how many rounds in a row, in which every server that answered knew no records, the empty
    /// set is published. Default 2; 0 counts as 1.
    pub negative_confirmations: u32,
    /// How long a backend stays that no server names any more while others are named: for servers whose answers
    /// are random parts of the set (Consul). It goes at the end of the first round after that, and at
    /// once where the set becomes empty. Default zero.
    pub removal_hold: Duration,
    /// Which addresses to ask for. Default [`Addresses::Both`].
    pub addresses: Addresses,
    /// The UDP payload size advertised by EDNS (RFC 6891), at least 512; `None` asks without EDNS.
    /// Default 1232 (DNS flag day 2020).
    pub edns_payload: Option<u16>,
    /// Whether addresses sent along with an SRV answer are used (RFC 2782). Default true.
    pub trust_additional: bool,
    /// How questions travel. Default [`Transport::UdpThenTcp`].
    pub transport: Transport,
    /// The most targets used of one answer, each port of a name counted: the best by priority, then name
    /// and port. Default 1024.
    pub max_targets: usize,
    /// The most backends published: the best by priority, then name and address. As many addresses are
    /// used of each target and family; and of targets that come after as many addresses of better
    /// ones, none. Default 1024.
    pub max_backends: usize,
    /// The most servers that `resolver_service` may lead to: the best by priority, weight, name and address.
    /// Default 16.
    pub max_dns_servers: usize,
    /// How many questions for one name may be under way at one server, 4096 at most. Default 16.
    pub max_inflight_per_server: usize,
    /// The next round is up to this many per cent later than due, never earlier: asking before the
    /// records have expired gets the same cached answer. At most 100. Default 10.
    pub jitter_percent: u8,
}

/// What to do with a set that nobody confirms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum StalePolicy {
    /// Keep it until somebody answers.
    KeepForever,
    /// Publish the empty set once nothing was confirmed for so long (RFC 8767 §5 suggests 1 to 3 days).
    KeepFor(Duration),
}

/// Which addresses to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Addresses {
    /// IPv6 and IPv4, in parallel; each address is a backend.
    Both,
    /// IPv6 alone.
    V6Only,
    /// IPv4 alone.
    V4Only,
}

impl Addresses {
    /// The types of record to ask for.
    pub(super) fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Both => &[Kind::Aaaa, Kind::A],
            Self::V6Only => &[Kind::Aaaa],
            Self::V4Only => &[Kind::A],
        }
    }
}

/// How questions travel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Transport {
    /// By datagram, and by stream where the answer to that was cut.
    UdpThenTcp,
    /// By stream only, for servers whose datagrams hold random parts of the answer (Consul).
    TcpOnly,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            resolver_service: None,
            max_dns_concurrency: 5,
            query_interval: Duration::from_secs(60),
            query_retry_if_no_records_found: Duration::from_secs(10),
            query_timeout: Duration::from_secs(10),
            hardcoded_ttl: None,
            attempt_timeout: Duration::from_secs(1),
            attempts: 3,
            min_query_interval: Duration::from_secs(5),
            stale: StalePolicy::KeepForever,
            negative_confirmations: 2,
            removal_hold: Duration::ZERO,
            addresses: Addresses::Both,
            edns_payload: Some(1232),
            trust_additional: true,
            transport: Transport::UdpThenTcp,
            max_targets: 1024,
            max_backends: 1024,
            max_dns_servers: 16,
            max_inflight_per_server: 16,
            jitter_percent: 10,
        }
    }
}

impl Config {
    /// Refuses what would stall the resolver or make it spin.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let spans = [
            ("query_interval", self.query_interval),
            ("query_retry_if_no_records_found", self.query_retry_if_no_records_found),
            ("query_timeout", self.query_timeout),
            ("attempt_timeout", self.attempt_timeout),
            ("min_query_interval", self.min_query_interval),
        ];
        let counts = [
            ("attempts", usize::from(self.attempts)),
            ("max_dns_concurrency", self.max_dns_concurrency),
            ("max_targets", self.max_targets),
            ("max_backends", self.max_backends),
            ("max_dns_servers", self.max_dns_servers),
            ("max_inflight_per_server", self.max_inflight_per_server),
        ];
        let zero_span = spans.into_iter().find(|(_, span)| span.is_zero()).map(|(field, _)| field);
        let zero_count = counts.into_iter().find(|(_, count)| *count == 0).map(|(field, _)| field);
        let most = [("jitter_percent", self.jitter_percent, 100), ("attempts", self.attempts, MOST_ATTEMPTS)];
        let too_large = most.into_iter().find(|(_, value, most)| value > most);
        match (zero_span.or(zero_count), too_large) {
            (Some(field), _) => Err(ConfigError::Zero { field }),
            (None, Some((field, _, most))) => Err(ConfigError::TooLarge { field, most }),
            (None, None) => Ok(()),
        }
    }

    /// How long the attempt with this number, from 1, is waited for.
    pub(super) fn patience(&self, attempt: u8) -> Duration {
        let shares = (1 << self.attempts) - 1;
        let first = self.attempt_timeout.min(self.query_timeout / shares).max(Duration::from_nanos(1));
        first.saturating_mul(1 << attempt.saturating_sub(1))
    }

    /// How long a record counts as fresh.
    pub(super) fn life(&self, ttl: Duration) -> Duration {
        self.hardcoded_ttl.unwrap_or(ttl)
    }

    /// How long an address is not asked again. A hard-coded time to live may be without end; a target
    /// that moves has to be noticed all the same.
    pub(super) fn address_life(&self, ttl: Duration) -> Duration {
        match self.hardcoded_ttl {
            Some(hardcoded) => hardcoded.min(self.query_interval),
            None => ttl,
        }
    }

    /// The most by which a pause between two rounds may be longer.
    pub(super) fn jitter(&self, pause: Duration) -> Duration {
        (pause / 100).saturating_mul(self.jitter_percent.into())
    }

    /// The floor between two rounds.
    pub(super) fn floor(&self) -> Duration {
        self.min_query_interval.min(self.query_interval)
    }
}

/// Why a resolver cannot be made from what was given.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The service has no name.
    EmptyName,
    /// The service's name cannot be a domain name.
    InvalidName,
    /// There is nobody to ask.
    NoServer,
    /// A field that must not be zero is.
    Zero {
        /// The field's name in [`Config`].
        field: &'static str,
    },
    /// A field is above what it may be.
    TooLarge {
        /// The field's name in [`Config`].
        field: &'static str,
        /// The largest value allowed.
        most: u8,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyName => {
                f.write_str("the service name is empty: give one such as _http._tcp.example.com")
            }
            Self::InvalidName => f.write_str(
                "the service name is not a domain name: use ASCII labels of 1 to 63 bytes, 255 in all",
            ),
            Self::NoServer => {
                f.write_str("there is no DNS server to ask: give at least one bootstrap address")
            }
            Self::Zero { field } => write!(f, "{field} is zero: set it above zero or keep its default"),
            Self::TooLarge { field, most } => write!(f, "{field} is above {most}: set it to {most} or less"),
        }
    }
}

impl core::error::Error for ConfigError {}
