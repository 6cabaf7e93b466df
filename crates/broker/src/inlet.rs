//! Records that come in by another door than Kafka's: checked as a producer's are, and in the log in one frame.

use crate::api::{partition_of, permit_remote};
use crate::batches;
use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::security::permit_name;
use base::Lsn;
use bytes::Bytes;
use eventlog::{Durability, Frame, LogError, TimestampType, Topic};
use std::sync::Arc;

/// What has got its place in the log.
pub struct TakenIn<T> {
    /// The first offset of each batch.
    pub base_offsets: Vec<i64>,
    /// What the caller wrote into the same frame.
    pub also: T,
    /// What must be durable before it is acknowledged; none where the topic does not ask for it.
    pub lsn: Option<Lsn>,
    /// A store elsewhere must have it before, too.
    pub is_remote: bool,
}

impl Broker {
    /// A topic that others may write; one that is not there is created if topics come by use and this caller may.
    pub fn topic_for_records(&self, name: &str, may_create: bool) -> Result<Arc<Topic>, ApiError> {
        permit_name(name)?;
        match self.find_topic(name) {
            Err(_) if may_create && self.config.auto_create_topics => {
                self.create_topic_by_use(name).map(|(topic, _)| topic)
            }
            found => found,
        }
    }

    /// Appends record batches, each with the number of its partition, in one frame with what `also` writes: all or
    /// nothing.
    pub fn take_in<T>(
        &self,
        topic: &Topic,
        given: Vec<(i32, Bytes)>,
        also: impl FnOnce(&mut Frame<'_>) -> Result<T, LogError>,
    ) -> Result<TakenIn<T>, ApiError> {
        permit_remote(&self.log, topic)?;
        let now_ms = Now::of(&*self.os.clock).wall_ms;
        let mut ready = Vec::with_capacity(given.len());
        for (index, bytes) in given {
            let mut batch = batches::check(bytes, &topic.config, now_ms)?;
            if topic.config.timestamp_type == TimestampType::LogAppendTime {
                batch.stamp(now_ms)?;
            }
            ready.push((partition_of(topic, index)?, batch));
        }
        let likely: usize = ready.iter().map(|(_, batch)| batch.bytes.len()).sum();
        let ((base_offsets, also), lsn) = self.log.append_large(likely as u64, |frame| {
            let mut base_offsets = Vec::with_capacity(ready.len());
            for (partition, batch) in &ready {
                let (records, time) = (batch.records, batch.max_timestamp_ms);
                base_offsets.push(frame.checked_batch(*partition, records, time, &batch.bytes)?.0);
            }
            Ok::<_, ApiError>((base_offsets, also(frame)?))
        })?;
        for (_, batch) in &ready {
            self.traffic.count_in(batch.records, batch.bytes.len());
        }
        let lsn = (topic.config.durability != Durability::Relaxed).then_some(lsn);
        let is_remote = topic.config.durability == Durability::Remote;
        Ok(TakenIn { base_offsets, also, lsn, is_remote })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Node, batch, given};
    use kafka_wire::error_code::ErrorCode;
    use kafka_wire::records::Compression;

    fn one(value: &str) -> Bytes {
        batch(Compression::None, &[(5, value)])
    }

    fn nothing(_: &mut Frame<'_>) -> Result<(), LogError> {
        Ok(())
    }

    #[test]
    fn a_frame_takes_all_or_nothing() {
        let node = Node::new();
        node.create_topic("t", 2, &[("max.message.bytes", "100")]);
        let topic = node.broker.topic_for_records("t", false).unwrap();
        let taken = node.broker.take_in(&topic, vec![(0, one("a")), (1, one("b")), (0, one("c"))], nothing);
        let taken = taken.unwrap();
        assert_eq!(taken.base_offsets, [0, 0, 1]);
        assert!(taken.lsn.is_some());
        let too_large = node.broker.take_in(&topic, vec![(0, one("a")), (1, one(&"b".repeat(100)))], nothing);
        assert_eq!(too_large.err().unwrap().code, ErrorCode::MessageTooLarge);
        let nowhere = node.broker.take_in(&topic, vec![(0, one("a")), (2, one("b"))], nothing);
        assert_eq!(nowhere.err().unwrap().code, ErrorCode::UnknownTopicOrPartition);
        let also =
            node.broker.take_in(&topic, vec![(0, one("a"))], |_| Err::<(), _>(LogError::Invalid("x".into())));
        assert_eq!(also.err().unwrap().code, ErrorCode::InvalidRequest);
        assert_eq!(node.broker.log().bounds(topic.partitions[0]).unwrap().end.0, 2);
    }

    #[test]
    fn topics_come_by_use_where_they_may() {
        let node = Node::new();
        assert!(node.broker.topic_for_records("new", false).is_err());
        assert_eq!(&*node.broker.topic_for_records("new", true).unwrap().name, "new");
        assert!(node.broker.topic_for_records("__event_ids", true).is_err());
        let strict = Node::with(given(&[("auto.create.topics.enable", "false")]));
        assert!(strict.broker.topic_for_records("new", true).is_err());
    }

    #[test]
    fn relaxed_topics_wait_for_nothing() {
        let node = Node::new();
        node.create_topic("t", 1, &[("durability", "relaxed")]);
        let topic = node.broker.topic_for_records("t", false).unwrap();
        assert!(node.broker.take_in(&topic, vec![(0, one("a"))], nothing).unwrap().lsn.is_none());
    }
}
