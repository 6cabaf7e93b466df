//! URLs as Java's `java.net.URL` takes them apart, forms as its `URLEncoder` writes them, and IPv4 addresses.

use std::fmt::Write;

/// As a form is sent: letters, digits and `.-*_` stay, a blank is `+`, the other bytes are `%XX`.
pub(super) fn encode(text: &str, out: &mut String) -> bool {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(byte as char),
            b' ' => out.push('+'),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    true
}

/// Answers false where a `%` has no two digits behind it.
pub(super) fn decode(text: &str, out: &mut String) -> bool {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let Some((digits, behind)) = behind.split_at_checked(2) else { return false };
                let digits = std::str::from_utf8(digits).ok();
                let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                    return false;
                };
                bytes.push(byte);
                rest = behind;
            }
            byte => bytes.push(*byte),
        }
    }
    out.push_str(&String::from_utf8_lossy(&bytes));
    true
}

/// The parts of a URL; what it lacks is `None`.
#[derive(Debug, Default)]
pub(super) struct Url {
    protocol: String,
    authority: Option<String>,
    user: Option<String>,
    host: Option<String>,
    path: String,
    query: Option<String>,
    reference: Option<String>,
}

/// The protocols that a plain Java knows.
const PROTOCOLS: [&str; 8] = ["http", "https", "ftp", "file", "jar", "mailto", "jrt", "jmod"];

impl Url {
    pub(super) fn parse(text: &str) -> Option<Url> {
        let text = text.trim_matches(|letter: char| letter <= ' ');
        let text = match text.get(..4) {
            Some(head) if head.eq_ignore_ascii_case("url:") => &text[4..],
            _ => text,
        };
        let (protocol, rest) = text.split_once(':').filter(|(protocol, _)| !protocol.contains('/'))?;
        let protocol = protocol.to_ascii_lowercase();
        if !PROTOCOLS.contains(&protocol.as_str()) {
            return None;
        }
        let (rest, reference) = match rest.split_once('#') {
            Some((rest, reference)) => (rest, Some(reference.to_string())),
            None => (rest, None),
        };
        let mut url = Url { protocol, reference, ..Url::default() };
        match url.protocol.as_str() {
            "mailto" => {
                if rest.trim().is_empty() {
                    return None;
                }
                url.host = Some(String::new());
                let (path, query) = match rest.rsplit_once('?') {
                    Some((path, query)) => (path, Some(query.to_string())),
                    None => (rest, None),
                };
                (url.path, url.query) = (path.to_string(), query);
            }
            "jar" => {
                let (inner, _) = rest.split_once("!/")?;
                Url::parse(inner)?;
                url.host = Some(String::new());
                url.path = rest.to_string();
            }
            _ => url.read_hierarchy(rest)?,
        }
        Some(url)
    }

    /// `//user@host:port/path?query`.
    fn read_hierarchy(&mut self, text: &str) -> Option<()> {
        let (mut rest, query) = match text.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_string())),
            None => (text, None),
        };
        self.query = query;
        self.host = Some(String::new());
        let behind = rest.strip_prefix("//").filter(|_| !rest.starts_with("////"));
        if let Some(behind) = behind {
            let end = behind.find('/').unwrap_or(behind.len());
            let (authority, path) = behind.split_at(end);
            rest = path;
            self.authority = Some(authority.to_string());
            match authority.split_once('@') {
                Some((_, host)) if host.contains('@') => {
                    // Not the form of a server: neither user nor host is known.
                    self.authority = None;
                }
                Some((user, host)) => {
                    self.user = Some(user.to_string());
                    self.host = Some(host_of(host)?.to_string());
                }
                None => self.host = Some(host_of(authority)?.to_string()),
            }
        }
        self.path = normalised(rest);
        Some(())
    }

    pub(super) fn part(&self, name: &str) -> Option<String> {
        match name {
            "HOST" => self.host.clone(),
            "PATH" => Some(self.path.clone()),
            "QUERY" => self.query.clone(),
            "REF" => self.reference.clone(),
            "PROTOCOL" => Some(self.protocol.clone()),
            "FILE" => Some(match &self.query {
                Some(query) => format!("{}?{query}", self.path),
                None => self.path.clone(),
            }),
            "AUTHORITY" => self.authority.clone(),
            "USERINFO" => self.user.clone(),
            _ => None,
        }
    }
}

/// The host in front of a port, which must be a number.
fn host_of(text: &str) -> Option<&str> {
    let (host, port) = if text.starts_with('[') {
        let (host, port) = text.split_at(text.find(']')? + 1);
        host[1..host.len() - 1].split('%').next()?.parse::<std::net::Ipv6Addr>().ok()?;
        (host, if port.is_empty() { "" } else { port.strip_prefix(':')? })
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    let is_port = port.is_empty() || port.parse::<i32>().is_ok_and(|port| port >= -1);
    is_port.then_some(host)
}

/// Without `/./` and `/../`.
fn normalised(path: &str) -> String {
    let mut path = path.to_string();
    while let Some(at) = path.find("/./") {
        path.replace_range(at..at + 2, "");
    }
    let mut from = 0;
    while let Some(at) = path[from..].find("/../").map(|at| at + from) {
        match path[..at].rfind('/') {
            Some(parent) if !path[..at].ends_with("/..") => {
                path.replace_range(parent..at + 3, "");
                from = 0;
            }
            _ => from = at + 3,
        }
    }
    while path.ends_with("/..") {
        let at = path.len() - 3;
        match path[..at].rfind('/') {
            Some(parent) => path.truncate(parent + 1),
            None => break,
        }
    }
    if path.starts_with("./") && path.len() > 2 {
        path.replace_range(..2, "");
    }
    if path.ends_with("/.") {
        path.pop();
    }
    path
}

/// The number of an address of one to four parts; the last part fills what the others leave.
pub(super) fn address_number(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    let mut number = 0_u64;
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        let bytes = if is_last { 4 - index as u32 } else { 1 };
        let digits = part.bytes().all(|byte| byte.is_ascii_digit()) && part.len() <= 10;
        let value = part.parse::<u64>().ok().filter(|value| digits && *value < 1 << (8 * bytes))?;
        number = number << (8 * bytes) | value;
    }
    i64::try_from(number).ok()
}
