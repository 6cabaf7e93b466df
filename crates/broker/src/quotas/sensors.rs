//! What clients have used lately, for those that have a limit; a bounded number of them.
//!
//! Clients choose their ids, so there may be any number: beyond a bound, those seen longest ago are forgotten, which
//! gives such a client no more than a new id would.

use super::bucket::Bucket;
use super::entity::NAME_BYTES_MAX;
use super::rate::Rate;
use super::rules::Sharing;
use super::{QuotaKey, Window};
use std::collections::HashMap;

const SENSORS_MAX: usize = 10_000;

/// Who is measured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Measured {
    UserClient(Box<str>, Box<str>),
    User(Box<str>),
    Client(Box<str>),
    Address(Box<str>),
}

impl Measured {
    pub fn of_client(sharing: Sharing, user: &str, client: &str) -> Measured {
        match sharing {
            Sharing::UserClient => Measured::UserClient(bounded(user), bounded(client)),
            Sharing::User => Measured::User(bounded(user)),
            Sharing::Client => Measured::Client(bounded(client)),
        }
    }

    pub fn of_address(address: &str) -> Measured {
        Measured::Address(bounded(address))
    }
}

/// Longer names count as one.
fn bounded(name: &str) -> Box<str> {
    if name.len() > NAME_BYTES_MAX { "".into() } else { name.into() }
}

#[derive(Debug)]
struct Sensor<T> {
    used_ms: i64,
    measure: T,
}

#[derive(Debug)]
struct Bounded<T>(HashMap<(QuotaKey, Measured), Sensor<T>>);

impl<T> Default for Bounded<T> {
    fn default() -> Bounded<T> {
        Bounded(HashMap::new())
    }
}

impl<T> Bounded<T> {
    fn get(&mut self, key: (QuotaKey, Measured), now_ms: i64, make: impl FnOnce() -> T) -> &mut T {
        if self.0.len() >= SENSORS_MAX && !self.0.contains_key(&key) {
            self.make_room();
        }
        let sensor = self.0.entry(key).or_insert_with(|| Sensor { used_ms: now_ms, measure: make() });
        sensor.used_ms = now_ms;
        &mut sensor.measure
    }

    /// Forgets the older half, so that it is not done for each client.
    fn make_room(&mut self) {
        let mut times: Vec<i64> = self.0.values().map(|sensor| sensor.used_ms).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.0.retain(|_, sensor| sensor.used_ms > median);
    }
}

#[derive(Debug, Default)]
pub struct Sensors {
    rates: Bounded<Rate>,
    buckets: Bounded<Bucket>,
}

impl Sensors {
    pub fn rate(&mut self, key: QuotaKey, measured: Measured, now_ms: i64) -> &mut Rate {
        self.rates.get((key, measured), now_ms, Rate::default)
    }

    pub fn bucket(
        &mut self,
        key: QuotaKey,
        measured: Measured,
        limit: f64,
        window: Window,
        now_ms: i64,
    ) -> &mut Bucket {
        self.buckets.get((key, measured), now_ms, || Bucket::new(limit, window, now_ms))
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.rates.0.len() + self.buckets.0.len()
    }
}
