//! Numbers that transactions have on all servers (GTIDs), and sets of them, in the forms of MariaDB and of MySQL.
//!
//! MariaDB tells of each domain which transaction was the last. MySQL tells of each server that wrote which of its
//! transactions there are, in ranges.

use mysql_client::Rest;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

/// A set has no more ranges of one server; MySQL joins them as they close up.
const RANGES_MAX: u64 = 1 << 20;

type Uuid = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gtid {
    MariaDb { domain: u32, server: u32, number: u64 },
    MySql { server: Uuid, number: u64 },
}

/// The transactions up to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gtids {
    /// The last of each domain: the server that wrote it, and its number.
    MariaDb(BTreeMap<u32, (u32, u64)>),
    /// By server, ranges in their order that do not touch.
    MySql(BTreeMap<Uuid, Vec<Range<u64>>>),
}

impl Gtid {
    /// `0-1-27`, or `3e11fa47-71ca-11e1-9e33-c80aa9429562:23`.
    pub(super) fn parse(text: &str) -> Option<Gtid> {
        match text.contains(':') {
            true => match Gtids::parse(text, false)? {
                Gtids::MySql(servers) => {
                    let (server, ranges) = servers.into_iter().next()?;
                    Some(Gtid::MySql { server, number: ranges.first()?.start })
                }
                Gtids::MariaDb(_) => None,
            },
            false => maria_db(text),
        }
    }
}

impl std::fmt::Display for Gtid {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Gtid::MariaDb { domain, server, number } => write!(out, "{domain}-{server}-{number}"),
            Gtid::MySql { server, number } => write!(out, "{}:{number}", shown(server)),
        }
    }
}

fn maria_db(text: &str) -> Option<Gtid> {
    let mut parts = text.split('-');
    let (domain, server) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let number = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(Gtid::MariaDb { domain, server, number })
}

fn uuid(text: &str) -> Option<Uuid> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let digits = std::str::from_utf8(&digits).ok().filter(|digits| digits.len() == 32)?;
    let mut uuid = [0; 16];
    for (place, byte) in uuid.iter_mut().enumerate() {
        let pair = digits.get(2 * place..2 * place + 2)?;
        *byte = pair
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| u8::from_str_radix(pair, 16).ok())??;
    }
    Some(uuid)
}

fn shown(uuid: &Uuid) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in uuid.iter().enumerate() {
        if [4, 6, 8, 10].contains(&place) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Adds a range, and joins what touches.
fn add(ranges: &mut Vec<Range<u64>>, added: Range<u64>) {
    if added.is_empty() {
        return;
    }
    // The first that does not end before it, and the first that begins behind it.
    let first = ranges.partition_point(|range| range.end < added.start);
    let behind = ranges.partition_point(|range| range.start <= added.end);
    let touched = ranges.get(first..behind).unwrap_or_default();
    let start = touched.first().map_or(added.start, |range| range.start.min(added.start));
    let end = touched.last().map_or(added.end, |range| range.end.max(added.end));
    ranges.splice(first..behind.max(first), std::iter::once(start..end));
}

impl Gtids {
    /// None where the text is no set of such a server.
    pub(super) fn parse(text: &str, is_mariadb: bool) -> Option<Gtids> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        if is_mariadb {
            let mut domains = BTreeMap::new();
            for part in parts {
                let Some(Gtid::MariaDb { domain, server, number }) = maria_db(part) else { return None };
                domains.insert(domain, (server, number));
            }
            return Some(Gtids::MariaDb(domains));
        }
        let mut servers: BTreeMap<Uuid, Vec<Range<u64>>> = BTreeMap::new();
        for part in parts {
            let mut pieces = part.split(':').map(str::trim);
            let ranges = servers.entry(uuid(pieces.next()?)?).or_default();
            for piece in pieces {
                let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
                let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
                if first == 0 || last < first {
                    return None;
                }
                add(ranges, first..last.checked_add(1)?);
            }
            if ranges.is_empty() {
                return None;
            }
        }
        Some(Gtids::MySql(servers))
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Gtids::MariaDb(domains) => domains.is_empty(),
            Gtids::MySql(servers) => servers.is_empty(),
        }
    }

    /// One more transaction; whether it is one of such a server.
    pub(super) fn add(&mut self, gtid: Gtid) -> bool {
        match (self, gtid) {
            (Gtids::MariaDb(domains), Gtid::MariaDb { domain, server, number }) => {
                domains.insert(domain, (server, number));
                true
            }
            (Gtids::MySql(servers), Gtid::MySql { server, number }) => {
                add(servers.entry(server).or_default(), number..number.saturating_add(1));
                true
            }
            _ => false,
        }
    }

    /// As MySQL is asked for all but these: numbers of eight bytes, the least first; ranges without their ends.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Gtids::MySql(servers) = self else { return Vec::new() };
        let mut out = (servers.len() as u64).to_le_bytes().to_vec();
        for (server, ranges) in servers {
            out.extend_from_slice(server);
            out.extend_from_slice(&(ranges.len() as u64).to_le_bytes());
            for range in ranges {
                out.extend_from_slice(&range.start.to_le_bytes());
                out.extend_from_slice(&range.end.to_le_bytes());
            }
        }
        out
    }

    /// The same, as a file of MySQL begins with those before it; none where it is written in a younger form.
    pub(super) fn decode(bytes: &[u8]) -> Option<Gtids> {
        let mut rest = Rest(bytes);
        let mut servers: BTreeMap<Uuid, Vec<Range<u64>>> = BTreeMap::new();
        for _ in 0..rest.number(8)? {
            let server: Uuid = rest.take(16)?.try_into().ok()?;
            let count = rest.number(8)?;
            if count > RANGES_MAX {
                return None;
            }
            let ranges = servers.entry(server).or_default();
            for _ in 0..count {
                let (start, end) = (rest.number(8)?, rest.number(8)?);
                if start == 0 || end <= start {
                    return None;
                }
                add(ranges, start..end);
            }
        }
        rest.is_empty().then_some(Gtids::MySql(servers))
    }
}

impl std::fmt::Display for Gtids {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = match self {
            Gtids::MariaDb(domains) => domains
                .iter()
                .map(|(domain, (server, number))| format!("{domain}-{server}-{number}"))
                .collect(),
            Gtids::MySql(servers) => servers
                .iter()
                .map(|(server, ranges)| {
                    let mut text = shown(server);
                    for Range { start, end } in ranges {
                        let last = end.saturating_sub(1);
                        let _ = match last == *start {
                            true => write!(text, ":{start}"),
                            false => write!(text, ":{start}-{last}"),
                        };
                    }
                    text
                })
                .collect(),
        };
        out.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn sets_are_read_as_the_servers_show_them() {
        let told = |text: &str, is_mariadb| Gtids::parse(text, is_mariadb).map(|set| set.to_string());
        assert_eq!(told("0-1-27, 3-2-5", true).as_deref(), Some("0-1-27,3-2-5"));
        assert_eq!(told("", true).as_deref(), Some(""));
        let shown = format!("{SERVER}:1-5:7,\n{}:3", SERVER.replace('3', "4").to_uppercase());
        assert_eq!(told(&shown, false), Some(format!("{SERVER}:1-5:7,{}:3", SERVER.replace('3', "4"))));
        for wrong in ["0-1", "0-1-2-3", "a-1-2", "0-1--2"] {
            assert_eq!(told(wrong, true), None, "{wrong}");
        }
        for wrong in
            ["x:1", SERVER, &format!("{SERVER}:0"), &format!("{SERVER}:5-3"), &format!("{SERVER}:tag:1")]
        {
            assert_eq!(told(wrong, false), None, "{wrong}");
        }
        for text in ["0-1-27".to_string(), format!("{SERVER}:23")] {
            assert_eq!(Gtid::parse(&text).unwrap().to_string(), text);
        }
        assert_eq!(Gtid::parse("27"), None);
    }

    #[test]
    fn transactions_are_added_and_ranges_close_up() {
        let mut set = Gtids::parse(&format!("{SERVER}:1-5:9"), false).unwrap();
        let server = uuid(SERVER).unwrap();
        for (number, told) in [(7, ":1-5:7:9"), (6, ":1-7:9"), (8, ":1-9"), (8, ":1-9"), (10, ":1-10")] {
            assert!(set.add(Gtid::MySql { server, number }));
            assert_eq!(set.to_string(), format!("{SERVER}{told}"));
        }
        assert!(!set.add(Gtid::MariaDb { domain: 0, server: 1, number: 2 }));
        let mut set = Gtids::parse("0-1-27", true).unwrap();
        assert!(set.add(Gtid::MariaDb { domain: 0, server: 2, number: 28 }));
        assert!(set.add(Gtid::MariaDb { domain: 4, server: 2, number: 1 }));
        assert_eq!(set.to_string(), "0-2-28,4-2-1");
    }

    #[test]
    fn what_is_sent_is_read_again_and_nothing_shorter() {
        let set = Gtids::parse(&format!("{SERVER}:1-5:7"), false).unwrap();
        let bytes = set.encode();
        assert_eq!(bytes.len(), 8 + 16 + 8 + 32);
        assert_eq!(Gtids::decode(&bytes), Some(set));
        for length in 0..bytes.len() {
            assert_eq!(Gtids::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Gtids::decode(&[0xff; 64]), None);
    }
}
