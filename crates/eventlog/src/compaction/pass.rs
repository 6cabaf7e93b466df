//! One pass through a partition: what is read, what is written, what the log is told.

use super::offset_map::OffsetMap;
use super::rules::{Aborted, Left, Pass};
use super::{CompactionReport, Due, entries_of};
use crate::LogError;
use crate::catalog::CatalogChange;
use crate::error::Damage;
use crate::files::{LogFile, lock};
use crate::index::{IndexEntry, Span};
use crate::log::Inner;
use crate::partition::Partition;
use crate::read::slice;
use crate::segment::SegmentWriter;
use base::Offset;
use bytes::Bytes;
use kafka_wire::records::{Batch, RecordsError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A segment is closed at this size at the latest, whatever `segment.bytes` says: as long as it is being written, what it
/// replaces takes space too.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// And at so many batches, whose index is in memory until then.
const SEGMENT_BATCHES_MAX: usize = 100_000;

/// The writing side of a pass.
struct Output<'a> {
    inner: &'a Inner,
    due: &'a Due,
    writer: Option<SegmentWriter>,
    /// Where the open segment begins in the partition.
    from: i64,
    bytes_max: u64,
    /// How many were put in force.
    segments: u64,
    /// The segment that is read is the only one that was read for the open one, and nothing of it was changed.
    is_copy: bool,
}

impl Inner {
    /// Goes through a partition once; answers the new clean point.
    pub(super) fn run_pass(
        &self,
        due: &Due,
        now_ms: i64,
        report: &mut CompactionReport,
    ) -> Result<i64, LogError> {
        let partition = &*due.partition;
        let (log_start, clean_to, spans) = {
            let state = partition.state();
            let spans = state.spans.iter().cloned().collect::<Vec<Span>>();
            (state.log_start, state.clean_to.max(state.log_start), spans)
        };
        let (map, map_end) = self.last_offsets(due, clean_to, &spans, report)?;
        let aborted = self.aborted(partition, clean_to, map_end);
        let pass = Pass {
            map: &map,
            map_end,
            clean_to,
            aborted: &aborted,
            now_ms,
            delete_retention_ms: due.config.delete_retention_ms,
        };
        let markers_only = map_end <= clean_to;
        let mut output = Output {
            inner: self,
            due,
            writer: None,
            from: i64::MIN,
            bytes_max: due.config.segment_bytes.clamp(1, SEGMENT_BYTES_MAX),
            segments: 0,
            is_copy: true,
        };
        let due_now = |span: &Span| span.file.segment.is_some_and(|segment| segment.horizon_ms <= now_ms);
        let run: Vec<&Span> = spans
            .iter()
            .filter(|span| span.first < map_end && span.end > log_start)
            // A segment that a pass was making when it ended early may reach beyond.
            .filter(|span| span.end <= map_end || span.file.segment.is_none() || !markers_only)
            .collect();
        for (number, span) in run.iter().enumerate() {
            if markers_only && !due_now(span) {
                output.close(span.first, 0)?;
                continue;
            }
            let is_last = number + 1 == run.len() || (markers_only && !due_now(run[number + 1]));
            self.go_through(&pass, span, log_start, is_last, &mut output, report)?;
        }
        let end = run.last().map_or(map_end, |span| output.reach(span, map_end));
        output.close(end, 0)?;
        report.segments_written += output.segments;
        if map_end > clean_to {
            self.move_clean_point(partition, map_end)?;
        }
        Ok(map_end.max(clean_to))
    }

    /// The last offset of each key from the clean point on, as far as the memory reaches; and how far that is.
    fn last_offsets(
        &self,
        due: &Due,
        clean_to: i64,
        spans: &[Span],
        report: &mut CompactionReport,
    ) -> Result<(OffsetMap, i64), LogError> {
        let partition = &*due.partition;
        let dirty: Vec<&Span> =
            spans.iter().filter(|span| span.end > clean_to && span.first < due.end).collect();
        let aborted = self.aborted(partition, clean_to, due.end);
        let mut keys = 0usize;
        let mut keys_min = 0;
        for span in &dirty {
            let entries = self.span_entries(partition, span)?;
            for entry in entries[entries_of(span, &entries)].iter().filter(|entry| entry.end() > clean_to) {
                keys = keys.saturating_add(entry.records as usize);
                if keys_min == 0 {
                    keys_min = entry.records as usize;
                }
            }
        }
        let mut map = OffsetMap::new(keys, keys_min, self.compaction.options().keys_bytes_max);
        let mut map_end = clean_to;
        let mut expected = clean_to;
        for span in dirty {
            if span.first > expected {
                return Err(lost(partition, &span.file, expected, span.first));
            }
            let entries = self.span_entries(partition, span)?;
            for entry in entries[entries_of(span, &entries)].iter().filter(|entry| entry.end() > clean_to) {
                if entry.end() > due.end || !map.has_room(entry.records as usize) {
                    return Ok((map, map_end));
                }
                if span.file.segment.is_none() && entry.base_offset > expected {
                    return Err(lost(partition, &span.file, expected, entry.base_offset));
                }
                let batch = self.read_batch(partition, &span.file, entry, report)?;
                if !batch.header.is_control() && !aborted.holds(&batch) {
                    let records = batch.records(super::rules::DECOMPRESSED_BYTES_MAX);
                    let records = records.map_err(|error| unreadable(partition, entry, &error))?;
                    for record in &records {
                        let record = record.map_err(|error| unreadable(partition, entry, &error))?;
                        if let Some(key) = record.key {
                            map.put(key, record.offset);
                        }
                    }
                }
                expected = entry.end();
                map_end = entry.end();
            }
            if span.file.segment.is_some() {
                expected = span.end;
            }
        }
        Ok((map, map_end))
    }

    /// Copies what stays of a span.
    fn go_through(
        &self,
        pass: &Pass<'_>,
        span: &Span,
        log_start: i64,
        is_last: bool,
        output: &mut Output<'_>,
        report: &mut CompactionReport,
    ) -> Result<(), LogError> {
        let partition = &*output.due.partition;
        let all = self.span_entries(partition, span)?;
        // A log file is cut where the pass ends, a segment is taken whole.
        let reach = output.reach(span, pass.map_end);
        let entries: Vec<IndexEntry> =
            all[entries_of(span, &all)].iter().filter(|entry| entry.end() <= reach).copied().collect();
        drop(all);
        output.begin(span, reach)?;
        for (index, entry) in entries.iter().enumerate() {
            let ends_span = index + 1 == entries.len();
            let holds_place = is_last && ends_span;
            let batch = self.read_batch(partition, &span.file, entry, report)?;
            let left = if entry.end() <= log_start && !holds_place {
                Left::Nothing
            } else {
                pass.go_through(&batch).map_err(|error| unreadable(partition, entry, &error))?
            };
            match left {
                Left::Whole(horizon_ms) => {
                    output.push(entry, entry.max_timestamp_ms, horizon_ms, &batch.bytes, report)?;
                }
                Left::Some(filtered, horizon_ms) => {
                    output.is_copy = false;
                    report.batches_cut += 1;
                    output.push(entry, filtered.max_timestamp, horizon_ms, &filtered.bytes, report)?;
                }
                Left::Nothing if holds_place => {
                    let empty = batch.filter(super::rules::DECOMPRESSED_BYTES_MAX, None, |_| false);
                    let empty = empty.map_err(|error| unreadable(partition, entry, &error))?;
                    output.is_copy &= batch.header.records_count == 0;
                    output.push(entry, empty.max_timestamp, None, &empty.bytes, report)?;
                }
                Left::Nothing => {
                    output.is_copy = false;
                    report.batches_removed += 1;
                }
            }
            if output.is_full() && !ends_span {
                let rest = entries[index + 1..].iter().map(|entry| u64::from(entry.length)).sum::<u64>();
                let beyond = span.bytes.saturating_sub(entries.iter().map(|e| u64::from(e.length)).sum());
                output.is_copy = false;
                output.close(entry.end(), rest + beyond)?;
                output.begin_at(entry.end())?;
            }
        }
        let beyond = match span.end > reach {
            true => span.bytes.saturating_sub(entries.iter().map(|entry| u64::from(entry.length)).sum()),
            false => 0,
        };
        if output.is_full() || beyond > 0 {
            output.close(reach, beyond)?;
        }
        Ok(())
    }

    fn read_batch(
        &self,
        partition: &Partition,
        file: &Arc<LogFile>,
        entry: &IndexEntry,
        report: &mut CompactionReport,
    ) -> Result<Batch, LogError> {
        self.pace(u64::from(entry.length))?;
        let mut bytes = Vec::with_capacity(entry.length as usize);
        slice(partition, file, entry)?.read(&mut bytes)?;
        report.bytes_read += bytes.len() as u64;
        let batch =
            Batch::parse(&Bytes::from(bytes)).map_err(|error| unreadable(partition, entry, &error))?;
        let header = &batch.header;
        if header.base_offset != entry.base_offset || header.next_offset() != entry.end() {
            let error = RecordsError::Record { index: 0, reason: "its offsets are not those of the log" };
            return Err(unreadable(partition, entry, &error));
        }
        Ok(batch)
    }

    fn aborted(&self, partition: &Partition, from: i64, to: i64) -> Aborted {
        match self.transactions.get() {
            Some(transactions) if from < to => {
                Aborted::new(&transactions.aborted(partition.id, Offset(from), Offset(to)))
            }
            _ => Aborted::default(),
        }
    }

    fn move_clean_point(&self, partition: &Partition, clean_to: i64) -> Result<(), LogError> {
        let change = CatalogChange::Compacted {
            partition: partition.id,
            from: Offset(clean_to),
            to: Offset(clean_to),
            segment: None,
            rest_bytes: 0,
            clean_to: Offset(clean_to),
        };
        self.append_frame(0, |frame| frame.compacted(change, None)).map(|_| ())
    }
}

impl Output<'_> {
    /// How much of a span the pass takes.
    fn reach(&self, span: &Span, map_end: i64) -> i64 {
        if span.file.segment.is_some() { span.end } else { span.end.min(map_end) }
    }

    /// A span is read next.
    fn begin(&mut self, span: &Span, reach: i64) -> Result<(), LogError> {
        let is_open = self.writer.is_some();
        if is_open && self.bytes() > 0 && self.bytes() + span.bytes > self.bytes_max {
            self.close(span.first, 0)?;
        }
        if self.writer.is_none() {
            self.begin_at(span.first)?;
            let whole = span.file.segment.is_some_and(|segment| segment.first == span.first);
            self.is_copy = whole && span.end == reach;
        } else {
            self.is_copy = false;
        }
        Ok(())
    }

    fn begin_at(&mut self, from: i64) -> Result<(), LogError> {
        let inner = self.inner;
        let number = inner.segment_number_next.fetch_add(1, Ordering::Relaxed);
        let generation = inner.os.random.next_u64();
        let directory = &inner.options.directory;
        let partition = self.due.partition.id;
        self.writer = Some(SegmentWriter::create(&inner.os.disk, directory, partition, number, generation)?);
        self.from = from;
        Ok(())
    }

    fn push(
        &mut self,
        entry: &IndexEntry,
        max_timestamp_ms: i64,
        horizon_ms: Option<i64>,
        bytes: &[u8],
        report: &mut CompactionReport,
    ) -> Result<(), LogError> {
        self.inner.pace(bytes.len() as u64)?;
        report.bytes_written += bytes.len() as u64;
        match &mut self.writer {
            Some(writer) => {
                writer.push(entry.base_offset, entry.records, max_timestamp_ms, horizon_ms, bytes)
            }
            None => Err(LogError::Internal("no segment is open".into())),
        }
    }

    fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.bytes)
    }

    fn is_full(&self) -> bool {
        let batches = self.writer.as_ref().map_or(0, |writer| writer.entries.len());
        self.bytes() >= self.bytes_max || batches >= SEGMENT_BATCHES_MAX
    }

    /// Completes the open segment and puts it in force for the offsets up to `to`. Of what was read, `rest_bytes` stay.
    fn close(&mut self, to: i64, rest_bytes: u64) -> Result<(), LogError> {
        // Dropped, it takes its file along: as when nothing was changed, or retention has taken all.
        let Some(writer) = self.writer.take().filter(|writer| !self.is_copy && !writer.entries.is_empty())
        else {
            return Ok(());
        };
        let segment = writer.finish(self.from, to)?;
        let (inner, due) = (self.inner, self.due);
        let file = LogFile::of_segment(&inner.os.disk, &inner.pool, &inner.options.directory, segment);
        let change = CatalogChange::Compacted {
            partition: due.partition.id,
            from: Offset(self.from),
            to: Offset(to),
            segment: Some(segment),
            rest_bytes,
            clean_to: Offset(0),
        };
        let appended = inner.append_frame(0, |frame| frame.compacted(change, Some(file.clone())));
        match appended {
            Ok(_) => {
                // Known from now on, so that it is removed when it is replaced in its turn.
                lock(&inner.segments).insert(segment.number, file);
                self.segments += 1;
                Ok(())
            }
            Err(error) => {
                let _ = inner.os.disk.remove(&file.path);
                Err(error)
            }
        }
    }
}

fn unreadable(partition: &Partition, entry: &IndexEntry, error: &RecordsError) -> LogError {
    LogError::Invalid(format!(
        "partition={} cannot be compacted: the batch at offset={}: {error}",
        partition.id, entry.base_offset
    ))
}

fn lost(partition: &Partition, file: &LogFile, from: i64, to: i64) -> LogError {
    LogError::Corrupt(Damage {
        file: file.name(),
        position: 0,
        partition: Some(partition.id),
        offsets: Some((Offset(from), Offset(to - 1))),
        reason: "the batches of these offsets are lost".to_string(),
    })
}
