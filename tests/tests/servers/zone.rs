//! What the servers know.

use std::fmt;

/// The zone.
pub(crate) const ORIGIN: &str = "test.com";
/// How many targets the largest service has.
pub(crate) const MANY: u8 = 100;

/// Every service that is asked for. Fields: owner, time to live, type, data.
const RECORDS: [&str; 40] = [
    "@ 60 NS ns.test.com.",
    "ns 60 A 127.0.0.1",
    "echo001 60 A 127.0.1.1",
    "echo002 60 A 127.0.1.2",
    "echo003 60 A 127.0.1.3",
    "_three._tcp 60 SRV 0 0 6001 echo001.test.com.",
    "_three._tcp 60 SRV 0 0 6002 echo002.test.com.",
    "_three._tcp 60 SRV 0 0 6003 echo003.test.com.",
    "_alias._tcp 60 CNAME _three._tcp.test.com.",
    "_none._tcp 60 SRV 0 0 0 .",
    "_lost._tcp 60 SRV 0 0 6001 lost.test.com.",
    "lost 60 TXT nowhere",
    "_one-lost._tcp 60 SRV 0 0 6001 lost.test.com.",
    "_one-lost._tcp 60 SRV 0 0 6001 echo001.test.com.",
    "_cname._tcp 60 SRV 0 0 6001 other.test.com.",
    "other 60 CNAME echo001.test.com.",
    "_v6._tcp 60 SRV 0 0 6001 six.test.com.",
    "six 60 AAAA ::1",
    "_v4._tcp 60 SRV 0 0 6001 four.test.com.",
    "four 60 A 127.0.1.4",
    "_tiers._tcp 60 SRV 10 5 6001 echo001.test.com.",
    "_tiers._tcp 60 SRV 20 7 6002 echo002.test.com.",
    "_ports._tcp 60 SRV 0 0 6001 echo001.test.com.",
    "_ports._tcp 60 SRV 0 0 6002 echo001.test.com.",
    "_addresses._tcp 60 SRV 0 0 6001 multi.test.com.",
    "multi 60 A 127.0.1.7",
    "multi 60 A 127.0.1.8",
    "multi 60 AAAA ::1",
    "_zero._tcp 0 SRV 0 0 6001 zero.test.com.",
    "_zero._tcp 0 SRV 0 0 6002 zero.test.com.",
    "zero 0 A 127.0.1.9",
    "_short._tcp 2 SRV 0 0 6001 short.test.com.",
    "_short._tcp 2 SRV 0 0 6002 short.test.com.",
    "short 2 A 127.0.1.9",
    "_live._tcp 60 SRV 0 0 6001 live1.test.com.",
    "_live._tcp 60 SRV 0 0 6002 live2.test.com.",
    "live1 60 A 127.0.2.1",
    "live2 60 A 127.0.2.2",
    "delegated 60 NS ns.delegated.test.com.",
    "ns.delegated 60 A 127.0.0.1",
];

/// Records, as a zone file has them.
pub(crate) struct Zone {
    serial: u32,
    records: Vec<String>,
}

impl Zone {
    pub(crate) fn new() -> Self {
        let many = (1..=MANY).flat_map(|number| {
            let service = format!("_many._tcp 60 SRV 0 0 6001 t{number:03}.test.com.");
            [service, format!("t{number:03} 60 A 127.0.3.{number}")]
        });
        let records = RECORDS.into_iter().map(str::to_owned).chain(many).collect();
        Self { serial: 1, records }
    }

    /// Takes records out and in.
    pub(crate) fn edit(&mut self, out: &[&str], r#in: &[&str]) {
        self.serial += 1;
        self.records.retain(|record| !out.contains(&record.as_str()));
        self.records.extend(r#in.iter().map(ToString::to_string));
    }

    /// What is in its SOA record one after the other.
    pub(crate) fn serial_and_refresh(&self) -> [u8; 8] {
        (u64::from(self.serial) << 32 | u64::from(REFRESH)).to_be_bytes()
    }
}

/// How often a second server would ask for news, in seconds. None does.
const REFRESH: u32 = 3600;

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ORIGIN {ORIGIN}.\n$TTL 60")?;
        writeln!(f, "@ 60 IN SOA ns.test.com. root.test.com. {} {REFRESH} 600 86400 60", self.serial)?;
        for record in &self.records {
            let mut fields = record.splitn(3, ' ');
            let mut field = || fields.next().unwrap_or_default();
            writeln!(f, "{} {} IN {}", field(), field(), field())?;
        }
        Ok(())
    }
}
