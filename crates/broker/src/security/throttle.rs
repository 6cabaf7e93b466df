//! Slows down those who try passwords: each failure doubles the delay of the next answer, for the user that is tried
//! from an address, and, after a number of them, for the address as a whole.
//!
//! Only answers to failed attempts wait. Who has the password gets in at once, so nobody can be locked out by another's
//! failures. A success forgets the failures of its own user from its own address; those of the address fade with time
//! alone, so that one good password does not buy guesses at others. Of IPv6 the first 64 bits are the address: the rest
//! is its owner's to choose.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

/// The failures of a user from an address are forgotten after so long without another.
const FORGET_MS: i64 = 15 * 60_000;
const DELAY_MS_MAX: i64 = 10_000;
/// Beyond so many users and addresses, and so many addresses, those that failed longest ago are forgotten.
const ENTRIES_MAX: usize = 10_000;
/// Longer names are no user's; they count as one.
const USER_BYTES_MAX: usize = 255;
/// So many failures of an address are those of its users alone.
const ADDRESS_FREE: u32 = 10;
/// One failure of an address fades in this time.
const ADDRESS_FADE_MS: i64 = 30_000;
/// More are not counted: the delay is at its longest, and an address must be able to recover.
const ADDRESS_COUNT_MAX: u32 = ADDRESS_FREE + 20;

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    users: Counts<(IpAddr, Box<str>)>,
    addresses: Counts<IpAddr>,
}

impl Throttle {
    /// Counts a failure, and says for how long its answer waits.
    pub(crate) fn failed(&mut self, host: &str, user: &str, first_delay_ms: i64, now_ms: i64) -> i64 {
        let address = address_of(host);
        let of_user = self.users.entry((address, name_of(user)), now_ms);
        if now_ms - of_user.at_ms >= FORGET_MS {
            of_user.count = 0;
        }
        let by_user = of_user.count;
        *of_user = Count { count: by_user.saturating_add(1), at_ms: now_ms };
        let of_address = self.addresses.entry(address, now_ms);
        let faded = (now_ms - of_address.at_ms).max(0) / ADDRESS_FADE_MS;
        let by_address = of_address.count.saturating_sub(u32::try_from(faded).unwrap_or(u32::MAX));
        *of_address = Count { count: (by_address + 1).min(ADDRESS_COUNT_MAX), at_ms: now_ms };
        let doublings = by_user.max(by_address.saturating_sub(ADDRESS_FREE)).min(20);
        first_delay_ms.saturating_mul(1 << doublings).min(DELAY_MS_MAX.max(first_delay_ms))
    }

    pub(crate) fn succeeded(&mut self, host: &str, user: &str) {
        self.users.0.remove(&(address_of(host), name_of(user)));
    }
}

#[derive(Debug, Clone, Copy)]
struct Count {
    count: u32,
    /// Of the last failure.
    at_ms: i64,
}

#[derive(Debug)]
struct Counts<K>(HashMap<K, Count>);

impl<K> Default for Counts<K> {
    fn default() -> Counts<K> {
        Counts(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Counts<K> {
    fn entry(&mut self, key: K, now_ms: i64) -> &mut Count {
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&key) {
            self.make_room(now_ms);
        }
        self.0.entry(key).or_insert(Count { count: 0, at_ms: now_ms })
    }

    /// Forgets what is over; if that is little, the older half, so that it is not done for each failure.
    fn make_room(&mut self, now_ms: i64) {
        self.0.retain(|_, count| now_ms - count.at_ms < FORGET_MS);
        if self.0.len() > ENTRIES_MAX / 2 {
            let mut times: Vec<i64> = self.0.values().map(|count| count.at_ms).collect();
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            let median = *median;
            self.0.retain(|_, count| count.at_ms > median);
        }
    }
}

fn name_of(user: &str) -> Box<str> {
    if user.len() > USER_BYTES_MAX { "".into() } else { user.into() }
}

/// A host as it is counted.
fn address_of(host: &str) -> IpAddr {
    host.parse().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), network_of)
}

/// The address, of IPv6 the network it is in.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound_and_are_forgotten() {
        let mut throttle = Throttle::default();
        let delays: Vec<i64> = (0..9).map(|_| throttle.failed("10.0.0.1", "a", 100, 0)).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(throttle.failed("10.0.0.2", "a", 100, 0), 100);
        assert_eq!(throttle.failed("10.0.0.1", "a", 100, FORGET_MS), 100);
        throttle.succeeded("10.0.0.2", "a");
        assert_eq!(throttle.failed("10.0.0.2", "a", 100, 0), 100);
    }

    #[test]
    fn a_success_buys_no_guesses_at_others() {
        let mut throttle = Throttle::default();
        assert_eq!([0, 1, 2].map(|_| throttle.failed("10.0.0.1", "alice", 100, 0)), [100, 200, 400]);
        throttle.succeeded("10.0.0.1", "mallory");
        throttle.succeeded("10.0.0.2", "alice");
        assert_eq!(throttle.failed("10.0.0.1", "alice", 100, 0), 800);
        // One password for many users: what the address did counts, whoever logs in between.
        let mut throttle = Throttle::default();
        let mut spray = |now_ms: i64| {
            let delays = (0..14).map(|user: i64| {
                throttle.succeeded("10.0.0.1", "mallory");
                throttle.failed("10.0.0.1", &format!("{now_ms}/{user}"), 100, now_ms)
            });
            delays.max().unwrap_or_default()
        };
        assert_eq!(spray(0), 800);
        assert_eq!(spray(1_000), 10_000);
        assert_eq!(spray(1_000 + ADDRESS_FADE_MS * i64::from(ADDRESS_COUNT_MAX)), 800);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.failed("2001:db8:0:1::1", "a", 100, 0), 100);
        assert_eq!(throttle.failed("2001:db8:0:1:ffff::2", "a", 100, 0), 200);
        assert_eq!(throttle.failed("2001:db8:0:2::1", "a", 100, 0), 100);
        assert_eq!(throttle.failed("10.0.0.1", "a", 100, 0), 100);
        assert_eq!(throttle.failed("::ffff:10.0.0.1", "a", 100, 0), 200);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut throttle = Throttle::default();
        for number in 0..3 * ENTRIES_MAX as u32 {
            let host = IpAddr::from((0x0a00_0000 + number).to_be_bytes()).to_string();
            throttle.failed(&host, &"x".repeat(1_000), 100, i64::from(number));
        }
        assert!(throttle.users.0.len() <= ENTRIES_MAX && throttle.addresses.0.len() <= ENTRIES_MAX);
        // All at the same time.
        for number in 0..3 * ENTRIES_MAX {
            throttle.failed("10.0.0.1", &number.to_string(), 100, 0);
        }
        assert!(throttle.users.0.len() <= ENTRIES_MAX);
    }
}
