//! Where connections may go: not to the addresses by which a machine in a cloud is told its secrets.
//!
//! Whoever may write a job may name any host, and the node would ask it from where it stands. Loopback and private addresses
//! are what a node is there to talk to; link-local ones are those of metadata services. An address is looked at after its
//! name was resolved, and that very address is connected to, so that no name can mean another one the next time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::clock::{Clock, RealClock};

/// Metadata services beyond the link-local addresses: of Alibaba and Oracle, of Amazon and Google.
const METADATA_V4: &[Ipv4Addr] = &[Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    // Of EKS, where pods get their keys.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// The addresses that connections may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Destinations {
    /// All but link-local addresses and those of metadata services.
    #[default]
    Guarded,
    /// All: somebody has named the host who may.
    Any,
}

impl Destinations {
    /// Whether this address may be connected to; the error says why not.
    pub fn check(self, address: IpAddr) -> io::Result<()> {
        if self == Destinations::Any || !is_guarded(address) {
            return Ok(());
        }
        let reason = format!(
            "{address} is a link-local address or that of a metadata service, to which no connection is made; if it is \
             meant, start the node with --allow-link-local"
        );
        Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
    }

    /// Connects to `host:port` within the time given, to the first of its addresses that takes the connection.
    pub fn connect(self, address: &str, timeout: Duration) -> io::Result<TcpStream> {
        self.connect_to(address, address.to_socket_addrs()?, timeout)
    }

    /// The same for addresses that a name was resolved to.
    pub fn connect_to(
        self,
        address: &str,
        candidates: impl Iterator<Item = SocketAddr>,
        timeout: Duration,
    ) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{address} names no host"));
        let clock = RealClock::new();
        for candidate in candidates {
            let left = timeout.saturating_sub(Duration::from_nanos(clock.monotonic_ns()));
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")));
            }
            match self.check(candidate.ip()).and_then(|()| TcpStream::connect_timeout(&candidate, left)) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn is_guarded(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_guarded_v4(address),
        IpAddr::V6(address) => {
            // `fe80::/10`, and what stands for an address of IPv4: mapped, compatible, of 6to4 or of NAT64.
            let parts = address.segments();
            let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
            let embedded = match parts {
                [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                    Some(v4(high, low))
                }
                [0x2002, high, low, ..] => Some(v4(high, low)),
                _ => None,
            };
            parts[0] & 0xffc0 == 0xfe80
                || METADATA_V6.contains(&address)
                || embedded.is_some_and(is_guarded_v4)
        }
    }
}

fn is_guarded_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || METADATA_V4.contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn metadata_services_are_told_from_other_hosts() {
        let is_refused = |text: &str| Destinations::Guarded.check(text.parse().unwrap()).is_err();
        for refused in [
            "169.254.169.254",
            "169.254.0.1",
            "169.254.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_refused(refused), "{refused}");
            assert!(Destinations::Any.check(refused.parse().unwrap()).is_ok(), "{refused}");
        }
        for allowed in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.253.1.1",
            "169.255.1.1",
            "100.100.100.201",
            "8.8.8.8",
            "::1",
            "fd00:ec2::253",
            "fec0::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(!is_refused(allowed), "{allowed}");
        }
    }

    #[test]
    fn of_the_addresses_of_a_name_the_guarded_ones_are_passed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let metadata: SocketAddr = "169.254.169.254:80".parse().unwrap();
        let time = Duration::from_secs(5);
        let both = [metadata, local].into_iter();
        let stream = Destinations::Guarded.connect_to("rebound:80", both, time).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), local);
        let error = Destinations::Guarded.connect_to("rebound:80", [metadata].into_iter(), time).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("--allow-link-local"), "{error}");
        assert!(Destinations::Guarded.connect("169.254.169.254:80", time).is_err());
        // A name that the system's own resolver takes for such an address.
        assert!(Destinations::Guarded.connect("[fe80::1]:80", time).is_err());
    }
}
