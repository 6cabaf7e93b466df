//! The log's part of the page of metrics: the log as a whole, and its partitions.
//!
//! Beside our own names there are those that boards for Kafka know: of the JMX exporter with its usual rules
//! (`kafka_log_log_…`) and of kafka_exporter (`kafka_topic_…`).

use crate::log::{Bounds, EventLog};
use crate::metrics::LogMetrics;
use crate::shipping::RemoteMetrics;
use base::PartitionId;
use metrics::{Family, Page, Table, Value, counter, gauge, histogram};

/// The log as a whole.
struct Measured {
    metrics: LogMetrics,
    disk_free_bytes: Option<u64>,
    fenced: bool,
    topics: usize,
    partitions: usize,
}

/// Seconds since the epoch.
fn seconds(ms: i64) -> Value {
    Value::Real(ms as f64 / 1e3)
}

fn remote(log: &Measured) -> Option<&RemoteMetrics> {
    log.metrics.remote.as_ref()
}

fn count(value: u64) -> Option<Value> {
    Some(value.into())
}

/// Offsets and sizes; none is below 0.
fn whole(value: i64) -> Option<Value> {
    u64::try_from(value).ok().map(Value::Count)
}

const LOG: Table<Measured> = Table {
    labels: &[],
    rows: &[
        counter("eventwright_log_appended_frames_total", "Frames appended to the log.", |log| {
            count(log.metrics.appended_frames)
        }),
        counter("eventwright_log_appended_bytes_total", "Bytes of the frames appended to the log.", |log| {
            count(log.metrics.appended_bytes)
        }),
        histogram(
            "eventwright_log_sync_seconds",
            "Time of one fdatasync of the log; an acknowledgement waits for at least one.",
            |log| Some(log.metrics.sync_latency.clone().into()),
        ),
        histogram(
            "eventwright_log_commit_seconds",
            "Time of one group commit: the write and the sync of all frames that had gathered.",
            |log| Some(log.metrics.commit_latency.clone().into()),
        ),
        histogram("eventwright_log_commit_frames", "Frames in one group commit.", |log| {
            Some(log.metrics.commit_frames.clone().into())
        }),
        histogram("eventwright_log_commit_size_bytes", "Bytes of one group commit.", |log| {
            Some(log.metrics.commit_bytes.clone().into())
        }),
        gauge(
            "eventwright_log_unsynced_bytes",
            "Bytes appended and not yet durable; what is acknowledged is not among them but in topics with \
             durability=relaxed.",
            |log| count(log.metrics.unsynced_bytes),
        ),
        gauge(
            "eventwright_log_last_commit_timestamp_seconds",
            "When frames became durable last, since the epoch.",
            |log| log.metrics.synced_ms.map(seconds),
        ),
        gauge(
            "eventwright_log_fenced",
            "1 when the log takes nothing any more because a write or a sync has failed; restart the node.",
            |log| Some(log.fenced.into()),
        ),
        gauge("eventwright_log_files", "Log files, without spare ones.", |log| count(log.metrics.files)),
        gauge("eventwright_log_segments", "Files of single partitions, which compaction has made.", |log| {
            count(log.metrics.segments)
        }),
        gauge("eventwright_log_disk_bytes", "Bytes of all files of the log, spare ones included.", |log| {
            count(log.metrics.disk_bytes)
        }),
        gauge("eventwright_log_spare_files_bytes", "Bytes of files prepared for what comes next.", |log| {
            count(log.metrics.spare_files_bytes)
        }),
        gauge("eventwright_disk_free_bytes", "Space that the log's file system has left.", |log| {
            log.disk_free_bytes.map(Value::Count)
        }),
        gauge(
            "eventwright_log_disk_trouble",
            "1 while no next log file can be prepared, mostly because the disk is full.",
            |log| Some(log.metrics.disk_trouble.is_some().into()),
        ),
        gauge("eventwright_log_index_cache_bytes", "Bytes of indexes kept in memory.", |log| {
            count(log.metrics.index_cache_bytes)
        }),
        counter(
            "eventwright_log_damaged_places_total",
            "Damaged places met at the start and by reads, again by each read.",
            |log| count(log.metrics.damaged),
        ),
        counter("eventwright_retention_moves_total", "Log starts that retention has moved.", |log| {
            count(log.metrics.retention_moves)
        }),
        counter("eventwright_retention_recycled_files_total", "Log files that were given back.", |log| {
            count(log.metrics.files_recycled)
        }),
        counter(
            "eventwright_compaction_passes_total",
            "Passes of compaction that came to their end.",
            |log| count(log.metrics.compaction.passes),
        ),
        counter("eventwright_compaction_read_bytes_total", "Bytes that compaction has read.", |log| {
            count(log.metrics.compaction.bytes_read)
        }),
        counter("eventwright_compaction_written_bytes_total", "Bytes that compaction has written.", |log| {
            count(log.metrics.compaction.bytes_written)
        }),
        counter("eventwright_compaction_removed_batches_total", "Batches taken away as a whole.", |log| {
            count(log.metrics.compaction.batches_removed)
        }),
        gauge(
            "eventwright_compaction_trouble",
            "1 while partitions are not compacted because something went wrong.",
            |log| Some(log.metrics.compaction_trouble.is_some().into()),
        ),
        gauge(
            "eventwright_remote_shipped_lsn",
            "The last frame of the log that the store of --remote has; not there without it.",
            |log| count(remote(log)?.shipped_lsn.0),
        ),
        gauge(
            "eventwright_remote_lag_bytes",
            "Bytes appended and not in the store: what is lost with the machine, but of topics with durability=remote.",
            |log| count(remote(log)?.lag_bytes),
        ),
        gauge(
            "eventwright_remote_lag_seconds",
            "How long the oldest frame that is durable and not in the store has waited.",
            |log| Some(Value::Real(remote(log)?.lag_ms as f64 / 1e3)),
        ),
        counter(
            "eventwright_remote_shipped_bytes_total",
            "Bytes of frames that the store has taken.",
            |log| count(remote(log)?.shipped_bytes),
        ),
        counter("eventwright_remote_puts_total", "Objects of the log that the store has taken.", |log| {
            count(remote(log)?.puts)
        }),
        counter("eventwright_remote_errors_total", "Attempts to ship that have failed.", |log| {
            count(remote(log)?.errors)
        }),
        gauge(
            "eventwright_remote_trouble",
            "1 while nothing is shipped because the last attempt has failed.",
            |log| Some(remote(log)?.trouble.is_some().into()),
        ),
        gauge("eventwright_remote_epoch", "Who writes into the store, counted upwards.", |log| {
            count(remote(log)?.epoch)
        }),
        gauge("eventwright_topics", "Topics, internal ones included.", |log| Some(log.topics.into())),
        gauge("eventwright_partitions", "Partitions, of internal topics too.", |log| {
            Some(log.partitions.into())
        }),
        gauge("kafka_controller_kafkacontroller_globaltopiccount", "Topics.", |log| Some(log.topics.into())),
        gauge("kafka_controller_kafkacontroller_globalpartitioncount", "Partitions.", |log| {
            Some(log.partitions.into())
        }),
        gauge("kafka_server_replicamanager_partitioncount", "Partitions.", |log| Some(log.partitions.into())),
        gauge(
            "kafka_server_replicamanager_leadercount",
            "Partitions, of which the node is the leader.",
            |log| Some(log.partitions.into()),
        ),
        gauge(
            "kafka_server_replicamanager_offlinereplicacount",
            "Partitions that cannot be written: all of them while the log is fenced.",
            |log| Some(if log.fenced { log.partitions.into() } else { Value::Count(0) }),
        ),
    ],
};

/// A partition's bounds and size.
struct Extent {
    bounds: Bounds,
    bytes: u64,
}

const PARTITIONS: Table<Extent> = Table {
    labels: &["topic", "partition"],
    rows: &[
        gauge("eventwright_partition_log_start_offset", "The first offset that is there.", |extent| {
            whole(extent.bounds.log_start.0)
        }),
        gauge(
            "eventwright_partition_high_watermark_offset",
            "The end of what is durable, which consumers read up to.",
            |extent| whole(extent.bounds.high_watermark.0),
        ),
        gauge("eventwright_partition_end_offset", "The end of what is appended.", |extent| {
            whole(extent.bounds.end.0)
        }),
        gauge("eventwright_partition_size_bytes", "Bytes of its record batches in the log.", |extent| {
            count(extent.bytes)
        }),
        gauge("kafka_log_log_logstartoffset", "The first offset that is there.", |extent| {
            whole(extent.bounds.log_start.0)
        }),
        gauge("kafka_log_log_logendoffset", "The end of what is appended.", |extent| {
            whole(extent.bounds.end.0)
        }),
        gauge("kafka_log_log_size", "Bytes of its record batches in the log.", |extent| count(extent.bytes)),
        gauge("kafka_topic_partition_oldest_offset", "The first offset that is there.", |extent| {
            whole(extent.bounds.log_start.0)
        }),
        gauge("kafka_topic_partition_current_offset", "The end of what is durable.", |extent| {
            whole(extent.bounds.high_watermark.0)
        }),
    ],
};

/// Everything that the log measures.
pub fn metric_families() -> Vec<Family> {
    LOG.families().chain(PARTITIONS.families()).collect()
}

impl EventLog {
    /// Writes the log's metrics. Of partitions, the oldest are shown; there may be a million of them.
    pub fn write_metrics(&self, page: &mut Page) {
        let inner = &*self.inner;
        let (topics, partitions, shown) = {
            let catalog = inner.catalog();
            let mut ids: Vec<PartitionId> = catalog.by_partition.keys().copied().collect();
            ids.sort_unstable();
            ids.truncate(page.series_max());
            (catalog.topics.len(), catalog.by_partition.len(), ids)
        };
        let measured = Measured {
            metrics: self.metrics(),
            disk_free_bytes: self.disk_free_bytes(),
            fenced: self.fenced().is_some(),
            topics,
            partitions,
        };
        page.one(&LOG, &measured);
        page.leave_out((partitions - shown.len()) * PARTITIONS.rows.len());
        let extent = |id: PartitionId| {
            // It may have been deleted meanwhile.
            let (topic, index) = self.partition_topic(id)?;
            let extent = Extent { bounds: self.bounds(id).ok()?, bytes: self.partition_bytes(id).ok()? };
            Some((vec![topic.name.clone(), index.to_string()], extent))
        };
        page.table(&PARTITIONS, &shown.into_iter().filter_map(extent).collect::<Vec<_>>());
    }
}
