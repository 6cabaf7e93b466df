//! What can be limited, and the values a limit may have.

/// A limit of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKey {
    /// Bytes of produce requests in a second.
    ProducerByteRate,
    /// Bytes of fetch responses in a second.
    ConsumerByteRate,
    /// Time in which the node works on requests, in hundredths of one thread.
    RequestPercentage,
    /// Partitions created and deleted in a second.
    ControllerMutationRate,
    /// Connections accepted in a second.
    ConnectionCreationRate,
}

use QuotaKey::*;

impl QuotaKey {
    pub const ALL: [QuotaKey; 5] = [
        ProducerByteRate,
        ConsumerByteRate,
        RequestPercentage,
        ControllerMutationRate,
        ConnectionCreationRate,
    ];

    /// As clients write it.
    pub fn name(self) -> &'static str {
        match self {
            ProducerByteRate => "producer_byte_rate",
            ConsumerByteRate => "consumer_byte_rate",
            RequestPercentage => "request_percentage",
            ControllerMutationRate => "controller_mutation_rate",
            ConnectionCreationRate => "connection_creation_rate",
        }
    }

    pub fn from_name(name: &str) -> Option<QuotaKey> {
        QuotaKey::ALL.into_iter().find(|key| key.name() == name)
    }

    /// In the log.
    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn from_number(number: u8) -> Option<QuotaKey> {
        QuotaKey::ALL.into_iter().find(|key| key.number() == number)
    }

    /// Whether it limits addresses; the others limit users and client ids.
    pub fn is_of_addresses(self) -> bool {
        self == ConnectionCreationRate
    }

    /// The largest value of a limit that is a whole number, as Kafka has it.
    fn whole_max(self) -> Option<f64> {
        match self {
            ProducerByteRate | ConsumerByteRate => Some(i64::MAX as f64),
            ConnectionCreationRate => Some(f64::from(i32::MAX)),
            RequestPercentage | ControllerMutationRate => None,
        }
    }
}

/// Why a limit cannot have this value.
pub fn check_value(key: QuotaKey, value: f64) -> Result<(), String> {
    /// What is so near to a whole number counts as one.
    const EPSILON: f64 = 1e-6;
    let name = key.name();
    if !value.is_finite() || value <= 0.0 {
        return Err(format!("{name}={value} is not a number above 0; remove the quota to lift the limit"));
    }
    match key.whole_max() {
        Some(most) if value > most => Err(format!("{name}={value} is above {most}")),
        Some(_) if (value - value.round()).abs() > EPSILON => {
            Err(format!("{name}={value} is not a whole number"))
        }
        _ => Ok(()),
    }
}
