//! Quotas: how much of the node a user, a client id or an address may use, as in Apache Kafka.
//!
//! [`rules`] is what is set, a fold of the log; [`sensors`] counts what clients do, in [`rate`]s and [`bucket`]s;
//! [`meter`] brings both together for one request. Who uses more than its quota is told for how long it
//! is not served (`throttle_time_ms`), gets its answer at once, and its connection is not read meanwhile (KIP-219).
//! Without any quota set, a request costs one look at a flag.

mod bucket;
pub mod entity;
mod key;
mod meter;
mod mute;
mod rate;
mod rules;
mod sensors;
#[cfg(test)]
mod tests;

pub use key::{QuotaKey, check_value};
pub(crate) use meter::{Meter, Mutations, connected, settle};
pub use mute::Mute;
pub use rate::Window;
pub use rules::{Limits, QUOTAS_LAYER, QuotaChange, QuotaRules, SharedQuotas};
pub(crate) use sensors::Sensors;

/// How quotas are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaConfig {
    /// Of bytes, request time and connections.
    pub window: Window,
    /// Of changes to topics.
    pub mutations: Window,
}
