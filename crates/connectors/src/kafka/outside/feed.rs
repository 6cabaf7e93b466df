//! Brings the records of an outside cluster's topics.
//!
//! Its position is the next offset of each partition. Batches are cut only where reading begins or ends in their middle.

use super::{Cluster, origin, told};
use crate::kafka::options::reads_committed_only;
use crate::kafka::startup;
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use base::options::Options;
use dataflow::feed::{Feed, Haul};
use dataflow::sink::TopicBatch;
use dataflow::source::SourceError;
use kafka_client::{
    Client, ClientError, FetchedBatches, FetchedPartition, Isolation, ListedOffset, OffsetSpec,
    WantedPartition,
};
use kafka_wire::ErrorCode;
use kafka_wire::records::{Batch, BatchBuilder, RecordsError};
use std::time::Duration;

/// What one fetch may bring, and so one haul.
const FETCH_BYTES_MAX: i32 = 4 << 20;

pub(in crate::kafka) struct ClusterFeed {
    table: String,
    cluster: Cluster,
    options: Options,
    isolation: Isolation,
    client: Option<Client>,
    reading: Vec<Reading>,
    /// The position is not in the log yet.
    is_new: bool,
}

/// A partition and how far it is read; its place in the list is its partition in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    topic: String,
    partition: i32,
    next: i64,
    /// Where reading ends, if it does.
    end: Option<i64>,
}

impl Reading {
    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }
}

impl ClusterFeed {
    pub(in crate::kafka) fn new(table: &str, cluster: Cluster, options: Options) -> ClusterFeed {
        let committed = reads_committed_only(&options);
        ClusterFeed {
            table: table.into(),
            cluster,
            isolation: if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
            options,
            client: None,
            reading: Vec::new(),
            is_new: false,
        }
    }

    fn error(&self, error: &ClientError) -> SourceError {
        let (kind, message) = told(&self.table, error);
        SourceError { kind, message }
    }

    fn invalid(&self, message: impl std::fmt::Display) -> SourceError {
        SourceError { kind: ErrorKind::Invalid, message: format!("table '{}': {message}", self.table) }
    }

    /// The partitions that the table names, in the order of its topics.
    fn find(&self, client: &mut Client) -> Result<Vec<(String, i32)>, SourceError> {
        let named: Vec<&str> = self.options.text("topic").map_or_else(Vec::new, startup::topic_names);
        let pattern = self.options.text("topic-pattern").map(startup::topic_pattern).transpose();
        let pattern = pattern.map_err(|message| self.invalid(message))?;
        let wanted = pattern.is_none().then_some(named.as_slice());
        let metadata = client.metadata(wanted).map_err(|error| self.error(&error))?;
        let mut found = Vec::new();
        for topic in &metadata.topics {
            let Some(name) = &topic.name else { continue };
            if pattern.as_ref().is_some_and(|pattern| topic.is_internal || !pattern.is_match(name)) {
                continue;
            }
            if let Some(code) =
                ErrorCode::from_number(topic.error_code).filter(|code| *code != ErrorCode::None)
            {
                let may_pass = code.is_retriable() && code != ErrorCode::UnknownTopicOrPartition;
                let kind = if may_pass { ErrorKind::Retry } else { ErrorKind::Invalid };
                let message = format!(
                    "table '{}': the cluster says {code} of topic '{name}'; create it, or look at the name and the \
                     user's rights",
                    self.table
                );
                return Err(SourceError { kind, message });
            }
            let mut partitions: Vec<i32> = topic.partitions.iter().map(|part| part.partition_index).collect();
            partitions.sort();
            found.extend(partitions.into_iter().map(|partition| (name.clone(), partition)));
        }
        found.sort();
        if found.is_empty() {
            return Err(self.invalid("no topic of the cluster matches 'topic-pattern' when the job starts"));
        }
        Ok(found)
    }

    /// How many partitions would be read.
    pub(super) fn partitions_of(&self, client: &mut Client) -> Result<usize, SourceError> {
        Ok(self.find(client)?.len())
    }

    /// Where reading begins and ends, for a job that is new.
    fn begin(&self, client: &mut Client) -> Result<Vec<Reading>, SourceError> {
        let committed = self.group_offsets(client)?;
        let mut reading = Vec::new();
        for (topic, partition) in self.find(client)? {
            let mut at = |spec| -> Result<ListedOffset, SourceError> {
                client
                    .list_offsets_isolated(&topic, partition, spec, self.isolation)
                    .map_err(|error| self.error(&error))
            };
            let (first, latest) = (at(OffsetSpec::Earliest)?.offset, at(OffsetSpec::Latest)?.offset);
            let mut at_time = |key: &str| -> Result<i64, SourceError> {
                let time_ms = self.options.integer(key).unwrap_or(0);
                let found = at(OffsetSpec::Timestamp(time_ms))?.offset;
                Ok(if found < 0 { latest } else { found })
            };
            let specific = |key: &str| {
                let offsets = startup::parse_offsets(self.options.text(key)?)?;
                offsets.get(&u32::try_from(partition).ok()?).copied()
            };
            let reset = match self.options.text("properties.auto.offset.reset") {
                Some("latest") => latest,
                _ => first,
            };
            let next = match self.options.text("scan.startup.mode") {
                Some("latest-offset") => latest,
                Some("timestamp") => at_time("scan.startup.timestamp-millis")?,
                Some("specific-offsets") => specific("scan.startup.specific-offsets").unwrap_or(first),
                Some("earliest-offset") => first,
                _ => committed
                    .iter()
                    .find(|known| known.topic == topic && known.partition == partition)
                    .map_or(reset, |known| known.offset),
            };
            let end = match self.options.text("scan.bounded.mode") {
                Some("latest-offset") => Some(latest),
                Some("timestamp") => Some(at_time("scan.bounded.timestamp-millis")?),
                Some("specific-offsets") => Some(specific("scan.bounded.specific-offsets").unwrap_or(latest)),
                _ => None,
            };
            reading.push(Reading { topic, partition, next: next.clamp(first, latest.max(first)), end });
        }
        Ok(reading)
    }

    /// What the group of the table has committed: a job that is new may go on where another consumer was.
    fn group_offsets(&self, client: &mut Client) -> Result<Vec<kafka_client::CommittedOffset>, SourceError> {
        match (self.options.text("scan.startup.mode"), self.options.text("properties.group.id")) {
            (None | Some("group-offsets"), Some(group)) => {
                client.offset_fetch(group).map_err(|error| self.error(&error))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Takes the batches of one partition.
    fn take(
        &mut self,
        index: usize,
        mut batches: FetchedBatches,
        haul: &mut Haul,
    ) -> Result<(), RecordsError> {
        let Reading { next, end, .. } = self.reading[index].clone();
        while let Some(batch) = batches.next_batch()? {
            let header = batch.header;
            if end.is_some_and(|end| header.base_offset >= end) {
                break;
            }
            let starts_before = header.base_offset < next;
            let ends_behind = end.is_some_and(|end| header.next_offset() > end);
            match starts_before || ends_behind {
                true => cut(&batch, next, end, index, haul)?,
                false => {
                    let mut bytes = batch.bytes.to_vec();
                    origin::land(&mut bytes)?;
                    haul.batches.push(TopicBatch {
                        partition: index as u32,
                        records: header.last_offset_delta as u32 + 1,
                        max_timestamp_ms: header.max_timestamp,
                        bytes,
                    });
                }
            }
        }
        let next = batches.next_offset();
        self.reading[index].next = end.map_or(next, |end| next.min(end));
        Ok(())
    }

    fn refused(&mut self, index: usize, first: i64, error: ClientError) -> Result<(), SourceError> {
        let reading = &self.reading[index];
        if error.code() != Some(ErrorCode::OffsetOutOfRange) {
            return Err(self.error(&error));
        }
        let reset = self.options.text("properties.auto.offset.reset");
        if reset != Some("earliest") || reading.next >= first {
            return Err(self.invalid(format!(
                "topic={} partition={} offset={} is not on the cluster any more (it begins at offset={first}): \
                 records were deleted before they were read; with 'properties.auto.offset.reset' = 'earliest' the job \
                 goes on without them",
                reading.topic, reading.partition, reading.next
            )));
        }
        self.reading[index].next = first;
        Ok(())
    }

    fn fetch(&mut self, wait_ms: u64) -> Result<Vec<FetchedPartition>, SourceError> {
        let wanted: Vec<(usize, WantedPartition<'_>)> = self
            .reading
            .iter()
            .enumerate()
            .filter(|(_, reading)| !reading.is_done())
            .map(|(index, one)| {
                (index, WantedPartition { topic: &one.topic, partition: one.partition, offset: one.next })
            })
            .collect();
        let Some(client) = &mut self.client else {
            let message = format!("table '{}': the cluster is not connected", self.table);
            return Err(SourceError { kind: ErrorKind::Internal, message });
        };
        let partitions: Vec<_> = wanted.iter().map(|(_, wanted)| *wanted).collect();
        let wait = Duration::from_millis(wait_ms);
        let fetched = client.fetch_all(&partitions, FETCH_BYTES_MAX, wait, self.isolation);
        let places: Vec<usize> = wanted.iter().map(|(index, _)| *index).collect();
        match fetched {
            Ok(fetched) => Ok(fetched
                .into_iter()
                .map(|one| FetchedPartition { index: places[one.index], ..one })
                .collect()),
            Err(error) => Err(self.error(&error)),
        }
    }

    fn position(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u32(self.reading.len() as u32);
        for one in &self.reading {
            out.text(&one.topic).u32(one.partition as u32).i64(one.next).i64(one.end.unwrap_or(-1));
        }
        out.finish()
    }
}

fn read_position(bytes: &[u8]) -> Result<Vec<Reading>, CodecError> {
    let mut reader = FieldReader::new(bytes);
    let mut reading = Vec::new();
    for _ in 0..reader.count(24)? {
        let (topic, partition) = (reader.text()?, reader.u32()? as i32);
        let (next, end) = (reader.i64()?, reader.i64()?);
        reading.push(Reading { topic, partition, next, end: (end >= 0).then_some(end) });
    }
    reader.finish()?;
    Ok(reading)
}

/// The records of `[from, end)` in a batch of their own; each run of offsets without a gap in one.
fn cut(
    batch: &Batch,
    from: i64,
    end: Option<i64>,
    partition: usize,
    haul: &mut Haul,
) -> Result<(), RecordsError> {
    const RECORDS_BYTES_MAX: usize = 256 << 20;
    let records = batch.records(RECORDS_BYTES_MAX)?;
    let compression = batch.header.compression()?;
    let mut open: Option<(BatchBuilder, i64, i64)> = None;
    let mut close = |open: Option<(BatchBuilder, i64, i64)>| -> Result<(), RecordsError> {
        let Some((builder, base, latest_ms)) = open else { return Ok(()) };
        let records = builder.count() as u32;
        let mut bytes = builder.build()?.to_vec();
        kafka_wire::records::set_base_offset(&mut bytes, base)?;
        origin::land(&mut bytes)?;
        haul.batches.push(TopicBatch {
            partition: partition as u32,
            records,
            max_timestamp_ms: latest_ms,
            bytes,
        });
        Ok(())
    };
    for record in &records {
        let record = record?;
        if record.offset < from || end.is_some_and(|end| record.offset >= end) {
            continue;
        }
        let follows =
            |(builder, base, _): &(BatchBuilder, i64, i64)| base + builder.count() as i64 == record.offset;
        if !open.as_ref().is_some_and(follows) {
            close(open.take())?;
        }
        let (builder, _, latest_ms) =
            open.get_or_insert_with(|| (BatchBuilder::new(compression), record.offset, i64::MIN));
        let headers: Vec<(String, Option<Vec<u8>>)> = record
            .headers
            .map(|header| {
                (String::from_utf8_lossy(header.key).into_owned(), header.value.map(<[u8]>::to_vec))
            })
            .collect();
        let headers: Vec<(&str, Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        builder.append(record.timestamp, record.key, record.value, &headers)?;
        *latest_ms = (*latest_ms).max(record.timestamp);
    }
    close(open)
}

impl Feed for ClusterFeed {
    fn partitions(&mut self) -> Result<u32, SourceError> {
        let mut client = self.cluster.connect().map_err(|error| self.error(&error))?;
        let found = self.find(&mut client)?;
        self.client = Some(client);
        Ok(found.len() as u32)
    }

    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.client = None;
        let mut client = self.cluster.connect().map_err(|error| self.error(&error))?;
        self.is_new = position.is_none();
        self.reading = match position {
            None => self.begin(&mut client)?,
            Some(bytes) => read_position(bytes).map_err(|error| SourceError {
                kind: ErrorKind::Corrupt,
                message: format!("table '{}': its position cannot be read: {error}", self.table),
            })?,
        };
        self.client = Some(client);
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let mut haul = Haul::default();
        if std::mem::take(&mut self.is_new) {
            // What is latest now means the same after a restart.
            haul.position = Some(self.position());
            return Ok(haul);
        }
        let before: Vec<i64> = self.reading.iter().map(|one| one.next).collect();
        if !self.reading.iter().all(Reading::is_done) {
            for FetchedPartition { index, batches, log_start_offset, .. } in self.fetch(wait_ms)? {
                match batches {
                    Ok(batches) => self.take(index, batches, &mut haul).map_err(|error| {
                        let one = &self.reading[index];
                        let message = format!(
                            "table '{}': topic={} partition={} behind offset={}: {error}",
                            self.table, one.topic, one.partition, one.next
                        );
                        SourceError { kind: ErrorKind::Corrupt, message }
                    })?,
                    Err(error) => self.refused(index, log_start_offset, error)?,
                }
            }
        }
        haul.ended = self.reading.iter().all(Reading::is_done);
        let has_moved = self.reading.iter().map(|one| one.next).ne(before);
        haul.position = (has_moved || haul.ended).then(|| self.position());
        Ok(haul)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let cluster = Cluster {
            bootstrap: String::new(),
            options: kafka_client::ClientOptions::new("test"),
            properties: Default::default(),
        };
        let mut feed = ClusterFeed::new("t", cluster, Options::default());
        let one = |partition, end| Reading { topic: "orders".into(), partition, next: 7, end };
        feed.reading = vec![one(0, None), one(1, Some(9)), one(2, Some(0))];
        let bytes = feed.position();
        assert_eq!(read_position(&bytes).unwrap(), feed.reading);
        for length in 0..bytes.len() {
            assert!(read_position(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn a_batch_is_cut_where_reading_begins_and_ends() {
        let mut builder = BatchBuilder::new(kafka_wire::records::Compression::Zstd);
        for value in 0..10_u8 {
            builder.append(i64::from(value), None, Some(&[value]), &[("h", Some(b"x"))]).unwrap();
        }
        let mut bytes = builder.build().unwrap().to_vec();
        kafka_wire::records::set_base_offset(&mut bytes, 100).unwrap();
        let batch = Batch::parse(&bytes.into()).unwrap();
        let mut haul = Haul::default();
        cut(&batch, 103, Some(107), 4, &mut haul).unwrap();
        let [landed] = &haul.batches[..] else { panic!("{}", haul.batches.len()) };
        assert_eq!((landed.partition, landed.records, landed.max_timestamp_ms), (4, 4, 6));
        let landed = Batch::parse(&landed.bytes.clone().into()).unwrap();
        let records = landed.records(1 << 20).unwrap();
        let read: Vec<(i64, u8)> = records
            .iter()
            .map(|record| record.unwrap())
            .map(|record| (origin::offset_of(&landed.header, record.offset), record.value.unwrap()[0]))
            .collect();
        assert_eq!(read, [(103, 3), (104, 4), (105, 5), (106, 6)]);
    }
}
