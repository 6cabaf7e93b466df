//! `advertised.listeners`: where clients are told to find the node, if not where they came to.

use std::net::IpAddr;

/// A DNS name has no more.
const HOST_BYTES_MAX: usize = 253;

/// What Metadata, DescribeCluster and FindCoordinator answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    pub host: String,
    pub port: u16,
}

impl Advertised {
    /// From `PROTOCOL://HOST:PORT`; `None` for an empty text, else what is expected of it.
    pub fn parse(text: &str, protocol: &str) -> Result<Option<Advertised>, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let form = || format!("an address such as {protocol}://node.example.org:9092");
        if text.contains(',') {
            return Err(format!("one address, because the node has one listener, {protocol}"));
        }
        let (name, address) = text.split_once("://").ok_or_else(form)?;
        if !name.eq_ignore_ascii_case(protocol) {
            return Err(format!("{protocol}:// in front, because security.protocol is {protocol}"));
        }
        let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err("a port from 1 to 65535 behind the last colon".into()),
            Ok(port) => port,
        };
        Ok(Some(Advertised { host: host_of(host)?, port }))
    }
}

/// A name, or an address, which with IPv6 stands in brackets.
fn host_of(host: &str) -> Result<String, String> {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match (bracketed, host.parse::<IpAddr>()) {
        (Some(inside), _) => Some(inside.parse::<IpAddr>().map_err(|_| "an IPv6 address in the brackets")?),
        (None, Ok(IpAddr::V6(_))) => return Err("an IPv6 address in brackets, such as [::1]:9092".into()),
        (None, parsed) => parsed.ok(),
    };
    match address {
        Some(address) if address.is_unspecified() => {
            Err(format!("an address that clients can connect to, which {address} is not"))
        }
        Some(address) => Ok(address.to_string()),
        None if is_name(host) => Ok(host.to_string()),
        None => Err("a host name of letters, digits, dots, dashes and underscores, or an address".into()),
    }
}

fn is_name(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parsed = |text| {
            let advertised = Advertised::parse(text, "SASL_SSL").unwrap();
            advertised.map(|advertised| (advertised.host, advertised.port))
        };
        assert_eq!(parsed(""), None);
        assert_eq!(parsed("SASL_SSL://node.example.org:9092"), Some(("node.example.org".into(), 9092)));
        assert_eq!(parsed(" sasl_ssl://10.0.0.1:1 "), Some(("10.0.0.1".into(), 1)));
        assert_eq!(parsed("SASL_SSL://[2001:db8::1]:65535"), Some(("2001:db8::1".into(), 65535)));
    }

    #[test]
    fn wrong_addresses_are_told_what_is_expected() {
        let wrong = |text: &str| Advertised::parse(text, "PLAINTEXT").unwrap_err();
        for (text, expected) in [
            ("node:9092", "an address such as PLAINTEXT://node.example.org:9092"),
            ("PLAINTEXT://node", "an address such as PLAINTEXT://node.example.org:9092"),
            ("SSL://node:9092", "PLAINTEXT:// in front, because security.protocol is PLAINTEXT"),
            ("PLAINTEXT://a:1,PLAINTEXT://b:1", "one address, because the node has one listener, PLAINTEXT"),
            ("PLAINTEXT://node:0", "a port from 1 to 65535 behind the last colon"),
            ("PLAINTEXT://node:99999", "a port from 1 to 65535 behind the last colon"),
            ("PLAINTEXT://0.0.0.0:9092", "an address that clients can connect to, which 0.0.0.0 is not"),
            ("PLAINTEXT://[::]:9092", "an address that clients can connect to, which :: is not"),
            ("PLAINTEXT://::1:9092", "an IPv6 address in brackets, such as [::1]:9092"),
            ("PLAINTEXT://[node]:9092", "an IPv6 address in the brackets"),
        ] {
            assert_eq!(wrong(text), expected, "{text}");
        }
        for host in ["", "a b", "a/b", "nöde", &"x".repeat(254)] {
            assert!(wrong(&format!("PLAINTEXT://{host}:9092")).contains("host name"), "{host}");
        }
    }
}
