//! Refuses requests that a web page made a browser send.
//!
//! On a node without users whoever reaches the address may use it, and a browser on the same machine reaches it; with
//! users, a browser may remember a password. So a request that names another origin is refused, and so is a `Host` that is a name: a page whose own name was
//! made to point at this machine (DNS rebinding) sends its name there. Programs send neither. Only where a page of another
//! name could not do anything (there is TLS, and no page has a certificate for a name of its own that leads here; or
//! everybody has to say who they are, and no browser sends a session to another name) any name will do.

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};
use std::net::IpAddr;

/// Names by which a server may be asked, beside its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    Any,
    /// That of `advertised.listeners`, if there is one.
    Own(Option<String>),
}

impl Names {
    fn has(&self, host: &str) -> bool {
        match self {
            Names::Any => true,
            Names::Own(known) => {
                let name = name_of(host);
                known.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name)) || is_own(name)
            }
        }
    }
}

/// Why a request is refused; none if it is not.
pub(crate) fn refusal(headers: &HeaderMap, names: &Names) -> Option<&'static str> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if headers.get_all(HOST).iter().count() > 1 {
        return Some("the request has more than one Host");
    }
    let host = text(HOST);
    if host.is_some_and(|host| !names.has(host)) {
        return Some(
            "the Host of the request is a name that is not known as the node's; use the address, such as 127.0.0.1, or \
             give the name in advertised.listeners",
        );
    }
    let origin = text(ORIGIN)?;
    let (_, own) = origin.split_once("://").unwrap_or(("", origin));
    (Some(own) != host).then_some("the request comes from a page of another origin")
}

/// Without the port, and the brackets of an address of IPv6.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

/// An address or `localhost`.
fn is_own(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn refused(host: Option<&'static str>, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        refusal(&headers, &Names::Own(Some("node.example".into()))).is_some()
    }

    #[test]
    fn programs_pass_and_pages_of_others_do_not() {
        for host in [
            "127.0.0.1:8081",
            "localhost:8081",
            "LocalHost",
            "[::1]:8081",
            "[::1]",
            "10.0.0.7",
            "Node.example:8081",
        ] {
            assert!(!refused(Some(host), None), "{host}");
        }
        for host in ["evil.example", "evil.example:8081", "127.0.0.1.evil.example:8081", ""] {
            assert!(refused(Some(host), None), "{host}");
        }
        assert!(!refused(None, None));
        let mut twice = HeaderMap::new();
        for host in ["127.0.0.1", "evil.example"] {
            twice.append(HOST, HeaderValue::from_static(host));
        }
        assert!(refusal(&twice, &Names::Own(None)).is_some() && refusal(&twice, &Names::Any).is_some());
        let mut other = HeaderMap::new();
        other.insert(HOST, HeaderValue::from_static("evil.example"));
        assert!(refusal(&other, &Names::Own(None)).is_some() && refusal(&other, &Names::Any).is_none());
        assert!(!refused(Some("127.0.0.1:8081"), Some("http://127.0.0.1:8081")));
        for origin in ["http://evil.example", "http://127.0.0.1:9999", "null"] {
            assert!(refused(Some("127.0.0.1:8081"), Some(origin)), "{origin}");
        }
    }
}
