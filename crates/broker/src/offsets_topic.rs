//! The topic `__consumer_offsets`, which clients and tools expect where there are groups (ADR 0021).
//!
//! It is listed as Kafka's is: internal, compacted, there from the moment somebody first asks for the coordinator of a
//! group. It holds no records: committed offsets are records of the log's layer, and the group APIs tell them.

use crate::broker::Broker;
use base::Lsn;
use eventlog::LogError;
use std::collections::BTreeMap;

const NAME: &str = "__consumer_offsets";

/// Kafka's, as far as it does not speak of replicas.
const CONFIG: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")];

impl Broker {
    /// Makes the topic if it is not there, and answers from where on in the log it is. That it cannot be made is no
    /// reason not to serve groups: it is tried again with the next question.
    pub(crate) fn ensure_offsets_topic(&self) -> Lsn {
        if self.log.topic(NAME).is_some() {
            return Lsn(0);
        }
        let config = CONFIG.map(|(key, value)| (key.to_string(), value.to_string()));
        let partitions = self.config.offsets.topic_partitions;
        let made = self.log.append::<_, LogError>(|frame| {
            // Somebody else may have been faster.
            match frame.topic(NAME) {
                Some(_) => Ok(()),
                None => frame.create_topic(NAME, partitions, BTreeMap::from(config)).map(|_| ()),
            }
        });
        made.map_or(Lsn(0), |((), lsn)| lsn)
    }
}
