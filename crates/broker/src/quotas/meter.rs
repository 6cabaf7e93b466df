//! The quotas of the client of one request: what it uses is counted here, and what it has to wait is found here.

use super::sensors::Measured;
use super::{Mute, QuotaKey, QuotaRules, Window};
use crate::broker::Broker;
use crate::call::{Call, Outcome, Peer, Wait};
use crate::errors::ApiError;
use crate::sync::lock;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::header::ResponseFrame;
use std::sync::Arc;

/// Made only where some quota is set.
#[derive(Clone)]
pub struct Meter {
    rules: Arc<QuotaRules>,
    user: Arc<str>,
    client: Arc<str>,
    mute: Arc<Mute>,
}

impl Meter {
    /// `principal` as access rules name it.
    pub fn new(rules: Arc<QuotaRules>, principal: &str, client_id: &str, peer: &Peer) -> Meter {
        let user = principal.strip_prefix("User:").unwrap_or(principal);
        Meter { rules, user: user.into(), client: client_id.into(), mute: peer.mute.clone() }
    }

    fn limit(&self, key: QuotaKey) -> Option<(Measured, f64)> {
        let (sharing, limit) = self.rules.limit_of_client(key, &self.user, &self.client)?;
        Some((Measured::of_client(sharing, &self.user, &self.client), limit))
    }

    /// Counts the bytes of a produce request, and keeps the connection from being read for the time that it has to
    /// wait, which is returned.
    pub fn produced(&self, broker: &Broker, bytes: usize, now_ms: i64) -> i64 {
        let key = QuotaKey::ProducerByteRate;
        let throttle_ms = self.record(broker, key, bytes as f64, now_ms);
        self.silence(throttle_ms, now_ms);
        throttle_ms
    }

    /// Counts the bytes of a fetch response. If the client has to wait it is to get nothing, and nothing is counted.
    pub fn fetched(&self, broker: &Broker, bytes: usize, now_ms: i64) -> i64 {
        let Some((measured, limit)) = self.limit(QuotaKey::ConsumerByteRate) else { return 0 };
        let window = broker.config.quotas.window;
        let mut sensors = lock(&broker.sensors);
        let rate = sensors.rate(QuotaKey::ConsumerByteRate, measured, now_ms);
        // One batch is given however large it is, or a small quota would hold up its reader for good.
        let is_first = rate.is_idle(window, now_ms);
        rate.record(bytes as f64, window, now_ms);
        let throttle_ms = if is_first { 0 } else { rate.throttle_ms(limit, window, now_ms) };
        if throttle_ms > 0 {
            rate.record(-(bytes as f64), window, now_ms);
        }
        throttle_ms
    }

    /// Counts the bytes of a fetch response that goes out in any case, after which the client waits so many ms.
    pub fn given(&self, broker: &Broker, bytes: usize) -> i32 {
        let throttle_ms =
            self.record(broker, QuotaKey::ConsumerByteRate, bytes as f64, broker.monotonic_ms());
        i32::try_from(throttle_ms).unwrap_or(i32::MAX)
    }

    /// More bytes in one fetch response could never be sent within the quota.
    pub fn fetch_bytes_max(&self, broker: &Broker) -> usize {
        let most = |(_, limit): (_, f64)| limit * broker.config.quotas.window.least_ms() as f64 / 1_000.0;
        // A saturating cast.
        self.limit(QuotaKey::ConsumerByteRate).map_or(usize::MAX, |limit| most(limit) as usize)
    }

    /// How long the client has to wait for the time that it has taken up already.
    pub fn overtime_ms(&self, broker: &Broker, now_ms: i64) -> i64 {
        self.worked(broker, 0, now_ms)
    }

    /// Counts the time that a thread has worked for the client.
    fn worked(&self, broker: &Broker, work_ns: u64, now_ms: i64) -> i64 {
        let percent = work_ns as f64 * 100.0 / 1e9;
        let throttle_ms = self.record(broker, QuotaKey::RequestPercentage, percent, now_ms);
        throttle_ms.min(broker.config.quotas.window.sample_ms)
    }

    fn record(&self, broker: &Broker, key: QuotaKey, value: f64, now_ms: i64) -> i64 {
        let Some((measured, limit)) = self.limit(key) else { return 0 };
        let window = broker.config.quotas.window;
        let mut sensors = lock(&broker.sensors);
        let rate = sensors.rate(key, measured, now_ms);
        rate.record(value, window, now_ms);
        rate.throttle_ms(limit, window, now_ms)
    }

    fn silence(&self, throttle_ms: i64, now_ms: i64) {
        if throttle_ms > 0 {
            self.mute.extend(now_ms.saturating_add(throttle_ms));
        }
    }
}

const MUTATIONS: QuotaKey = QuotaKey::ControllerMutationRate;

/// Counts the changes to topics that one request makes (KIP-599).
pub struct Mutations<'a> {
    broker: &'a Broker,
    meter: Option<&'a Meter>,
    limit: Option<(Measured, f64)>,
    window: Window,
    strict: bool,
    now_ms: i64,
    throttle_ms: i64,
}

impl<'a> Mutations<'a> {
    /// Clients of newer versions know that a change can be refused; of others all are made, and they wait afterwards.
    pub fn of(call: &Call<'a>, strict_since: i16) -> Mutations<'a> {
        let limit = call.meter.and_then(|meter| meter.limit(MUTATIONS));
        Mutations {
            broker: call.broker,
            meter: call.meter,
            limit,
            window: call.broker.config.quotas.mutations,
            strict: call.version() >= strict_since,
            now_ms: call.now.monotonic_ms,
            throttle_ms: 0,
        }
    }

    /// Whether so many partitions may be made or deleted.
    pub fn admit(&mut self, partitions: usize) -> Result<(), ApiError> {
        let Some((measured, limit)) = self.limit.clone() else { return Ok(()) };
        let (window, now_ms) = (self.window, self.now_ms);
        let mut sensors = lock(&self.broker.sensors);
        let bucket = sensors.bucket(MUTATIONS, measured, limit, window, now_ms);
        let debt_ms = bucket.throttle_ms(limit, window, now_ms);
        if self.strict && debt_ms > 0 {
            self.wait(debt_ms);
            let message = format!("the quota {} is used up; try again in {debt_ms} ms", MUTATIONS.name());
            return Err(ApiError::new(ErrorCode::ThrottlingQuotaExceeded, message));
        }
        bucket.record(partitions as f64, limit, window, now_ms);
        if !self.strict {
            self.wait(bucket.throttle_ms(limit, window, now_ms));
        }
        Ok(())
    }

    fn wait(&mut self, throttle_ms: i64) {
        self.throttle_ms = self.throttle_ms.max(throttle_ms);
        if let Some(meter) = self.meter {
            meter.silence(throttle_ms, self.now_ms);
        }
    }

    /// What the answer says.
    pub fn throttle_time_ms(&self) -> i32 {
        i32::try_from(self.throttle_ms).unwrap_or(i32::MAX)
    }
}

/// Tells the client, in whatever answer comes of the request, for how long it is not served: for what the
/// answer says itself, for `throttle_ms`, or for the time it took up.
pub fn settle(broker: &Broker, meter: Meter, throttle_ms: i64, work_ns: u64, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Reply(frame) => Outcome::Reply(meter.told(broker, frame, throttle_ms, work_ns)),
        Outcome::Wait(Wait { until, deadline_ms, resume }) => {
            Outcome::wait(until, deadline_ms, move |broker, now_ms, woken| {
                let began_ns = broker.os.clock.monotonic_ns();
                let outcome = resume(broker, now_ms, woken);
                let work_ns = work_ns + broker.os.clock.monotonic_ns().saturating_sub(began_ns);
                settle(broker, meter, throttle_ms, work_ns, outcome)
            })
        }
        other => other,
    }
}

impl Meter {
    fn told(
        &self,
        broker: &Broker,
        mut frame: ResponseFrame,
        throttle_ms: i64,
        work_ns: u64,
    ) -> ResponseFrame {
        let now_ms = broker.monotonic_ms();
        let overtime_ms = self.worked(broker, work_ns, now_ms);
        let throttle_ms = throttle_ms.max(overtime_ms).max(i64::from(frame.throttle_time_ms()));
        if throttle_ms > 0 {
            frame.set_throttle_time_ms(i32::try_from(throttle_ms).unwrap_or(i32::MAX));
            self.silence(throttle_ms, now_ms);
        }
        frame
    }
}

/// Counts a connection from an address: for how long it has to be held off, if there are too many.
pub fn connected(broker: &Broker, address: &str) -> Option<i64> {
    let rules = broker.quotas.any()?;
    let limit = rules.limit_of_address(address)?;
    let (window, now_ms) = (broker.config.quotas.window, broker.monotonic_ms());
    let mut sensors = lock(&broker.sensors);
    let rate = sensors.rate(QuotaKey::ConnectionCreationRate, Measured::of_address(address), now_ms);
    rate.record(1.0, window, now_ms);
    let throttle_ms = rate.throttle_ms(limit, window, now_ms);
    if throttle_ms == 0 {
        return None;
    }
    rate.record(-1.0, window, now_ms);
    Some(throttle_ms.min(window.sample_ms))
}
