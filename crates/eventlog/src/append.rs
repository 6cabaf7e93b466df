//! Appending: a frame is built in the pending buffer under the append lock, and becomes whole or leaves no trace.
//!
//! 1. Short entries are copied once, from the caller into the pending buffer; the checksum is taken there. A long batch
//!    whose own checksum was compared stays where it came in until it is written.
//! 2. What a frame changes (offsets, catalog, log starts) is kept beside it until it is complete, then applied.
//! 3. Before a frame is begun the log moves to a new file when the active one is nearly full; the new file begins with
//!    the state after all frames so far. A frame never spans two files; the last one of a file may make it longer.
//! 4. Without space for a next file, frames that would grow the log are refused, while deletions, which free space,
//!    may use the reserve at the end of the active file.

use crate::LogError;
use crate::catalog::{CatalogChange, Draft, PARTITIONS_PER_TOPIC_MAX, Step, Topic, check_topic_name};
use crate::checkpoint::{OWN_SECTION, PartitionBounds, encode_file_start, put_own, put_section};
use crate::checksum;
use crate::entry::Layer;
use crate::files::{LogFile, lock};
use crate::format::{
    ENTRIES_PER_FRAME_MAX, ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FLAG_MARK, FRAME_BYTES_MAX,
    FRAME_HEADER_BYTES, FileHeader, FrameHeader, entry_seed, entry_space,
};
use crate::group::{GroupBytes, Mark, Place, SHARED_BYTES_MIN};
use crate::index::IndexEntry;
use crate::log::{EventLog, Inner};
use crate::metrics::Appended;
use crate::partition::{Partition, PartitionState};
use crate::topic_config::TopicConfig;
use crate::upkeep::Pins;
use base::{Lsn, Offset, PartitionId, TopicId};
use bytes::Bytes;
use os::{DiskFile, blocking};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

/// What the append lock guards.
pub(crate) struct AppendState {
    pub(crate) active: Arc<LogFile>,
    pub(crate) handle: Arc<dyn DiskFile>,
    /// Space that the active file has for sure.
    pub(crate) allocated: u64,
    /// Where the next frame begins in the active file.
    pub(crate) position: u64,
    pub(crate) last_lsn: Lsn,
    /// The largest frame in the active file: what the next one may well need.
    pub(crate) largest_frame: u64,
    /// A frame was too long for the rest of the file, which could not be extended: the next file may hold it.
    pub(crate) too_short: bool,
    pub(crate) pending: Pending,
}

/// What is appended and not yet taken by the committer.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) segments: Vec<Segment>,
    /// The new ends of the partitions appended to.
    pub(crate) ends: HashMap<PartitionId, i64>,
    pub(crate) last_lsn: Lsn,
    pub(crate) bytes: u64,
    /// An empty buffer whose memory is to be used again.
    pub(crate) reusable: Vec<u8>,
}

/// Consecutive bytes of one file.
pub(crate) struct Segment {
    pub(crate) file: Arc<LogFile>,
    pub(crate) handle: Arc<dyn DiskFile>,
    pub(crate) position: u64,
    pub(crate) bytes: GroupBytes,
    /// The end of the last complete frame.
    complete: Mark,
    /// The segment holds the file's header and checkpoint.
    pub(crate) begins_file: bool,
}

/// A Kafka record batch cannot be shorter than its header up to the leader epoch, which is patched.
const BATCH_BYTES_MIN: usize = 16;

/// The range of a batch's own checksum begins behind it, and goes to the end.
const BATCH_SUMMED_FROM: usize = 21;

/// Single node: there has been one leader only.
const LEADER_EPOCH: i32 = 0;

impl AppendState {
    pub(crate) fn take_pending(&mut self, reusable: Vec<u8>) -> Pending {
        let next = Pending { reusable, last_lsn: self.last_lsn, ..Pending::default() };
        std::mem::replace(&mut self.pending, next)
    }

    /// The segment that the next frame goes to.
    fn segment(&mut self) -> &mut Segment {
        if self.pending.segments.is_empty() {
            self.pending.segments.push(Segment {
                file: self.active.clone(),
                handle: self.handle.clone(),
                position: self.position,
                bytes: GroupBytes::in_buffer(std::mem::take(&mut self.pending.reusable)),
                complete: Mark::default(),
                begins_file: false,
            });
        }
        let last = self.pending.segments.len() - 1;
        &mut self.pending.segments[last]
    }

    /// Forgets bytes behind the last complete frame, which a frame that was given up has left.
    fn trim(&mut self) {
        if let Some(segment) = self.pending.segments.last_mut() {
            segment.bytes.truncate(segment.complete);
            if segment.bytes.is_empty() {
                self.pending.segments.pop();
            }
        }
    }
}

impl Inner {
    /// The part at the end of a file that is kept for deletions when the disk is full.
    fn reserve_bytes(&self) -> u64 {
        (self.options.file_bytes / 16).min(256 << 10)
    }

    fn file_is_full(&self, state: &AppendState, bytes_likely: u64) -> bool {
        let likely = state.largest_frame.max(bytes_likely).min(self.options.file_bytes / 4);
        state.position.saturating_add(self.reserve_bytes().max(likely)) > state.allocated
    }

    /// Moves on to the next file when the active one is full. When the disk is full too, answers why the next frame
    /// must not grow the log.
    fn make_room(&self, state: &mut AppendState, bytes_likely: u64) -> Result<Option<LogError>, LogError> {
        let too_short = std::mem::take(&mut state.too_short);
        let full = self.file_is_full(state, bytes_likely);
        if !full && !too_short {
            return Ok(None);
        }
        match blocking::may_block(|| self.roll(state)) {
            Ok(()) => Ok(None),
            // The long frame that could not be had was refused; shorter ones still fit.
            Err(LogError::DiskFull(_)) if !full => Ok(None),
            Err(error @ LogError::DiskFull(_)) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Begins the next log file with a checkpoint of the state after all frames so far.
    fn roll(&self, state: &mut AppendState) -> Result<(), LogError> {
        let spare = match self.spares.take() {
            Some(spare) => spare,
            // The preparing thread is behind: a file that is not zero-filled is slower, but it is there.
            None => self.spares.create(self.options.file_bytes, false)?,
        };
        let mut stream = Vec::new();
        let bounds: BTreeMap<PartitionId, PartitionBounds> = self
            .all_partitions()
            .iter()
            .map(|partition| {
                let state = partition.state();
                (partition.id, PartitionBounds::of(&state))
            })
            .collect();
        put_section(&mut stream, OWN_SECTION, |out| put_own(out, &self.catalog(), &bounds));
        for (name, fold) in &self.folds {
            put_section(&mut stream, name, |out| fold.checkpoint(out));
        }
        let header = FileHeader {
            generation: self.os.random.next_u64(),
            sequence: state.active.sequence() + 1,
            base_lsn: state.last_lsn,
            checkpoint_bytes: stream.len() as u64,
            created_ms: self.os.clock.now_ms(),
        };
        // A checkpoint larger than half a file leaves no room for frames; then the file is made larger.
        let needed = header.frames_start().saturating_add(self.options.file_bytes / 2);
        let allocated = spare.bytes.max(needed);
        let file = LogFile::new(&self.os.disk, &self.pool, &self.options.directory, header, allocated);
        if allocated > spare.bytes
            && let Err(error) = spare.handle.allocate(allocated)
        {
            let error = LogError::io("extend the next log file", &spare.path, error);
            self.spares.put_back(spare);
            return Err(error);
        }
        if let Err(error) = self.os.disk.rename(&spare.path, &file.path) {
            let error = LogError::io("begin the next log file as", &file.path, error);
            self.spares.put_back(spare);
            return Err(error);
        }
        let bytes = GroupBytes::of(encode_file_start(&header, &stream, header.created_ms));
        let length = bytes.len() as u64;
        state.pending.bytes += length;
        // The commit must sync the old file before it writes the new one, even if nothing of the old is pending.
        state.segment();
        state.pending.segments.push(Segment {
            file: file.clone(),
            handle: spare.handle.clone(),
            position: 0,
            complete: bytes.mark(),
            bytes,
            begins_file: true,
        });
        state.position = length;
        state.allocated = allocated;
        state.largest_frame = 0;
        state.too_short = false;
        state.handle = spare.handle;
        state.active = file.clone();
        lock(&self.files).insert(header.sequence, file);
        lock(&self.progress).unsynced_bytes += length;
        Ok(())
    }

    /// Appends a frame without entries that says how far the log is durable. False when that is known already.
    pub(crate) fn append_mark(&self) -> bool {
        let mut state = self.lock_append();
        let room = state.position + FRAME_HEADER_BYTES as u64 <= state.allocated;
        if !room || state.last_lsn == state.active.base_lsn() {
            return false;
        }
        let durable = lock(&self.progress).durable;
        let header = FrameHeader {
            generation: state.active.header.generation,
            lsn: Lsn(state.last_lsn.0 + 1),
            position: state.position,
            durable,
            appended_ms: self.os.clock.now_ms(),
            body_bytes: 0,
            entries: 0,
            flags: FLAG_MARK,
        };
        state.segment().bytes.copy(&header.encode());
        self.account(&mut state, FRAME_HEADER_BYTES as u64, Appended::default());
        true
    }

    /// Counts a complete frame at the end of the pending bytes.
    fn account(&self, state: &mut AppendState, frame_bytes: u64, batches: Appended) {
        let segment = state.segment();
        segment.complete = segment.bytes.mark();
        state.position += frame_bytes;
        state.last_lsn.0 += 1;
        state.largest_frame = state.largest_frame.max(frame_bytes);
        state.pending.last_lsn = state.last_lsn;
        state.pending.bytes += frame_bytes;
        self.counters.appended(frame_bytes, batches);
        lock(&self.progress).unsynced_bytes += frame_bytes;
        self.commit_wanted.notify_one();
    }
}

impl EventLog {
    /// Runs `build` under the append lock; what it pushed becomes one frame with one LSN, all or nothing after a
    /// crash. If `build` fails, nothing is written. A frame without entries gets no LSN: the answer is the last one.
    pub fn append<R, E: From<LogError>>(
        &self,
        build: impl FnOnce(&mut Frame<'_>) -> Result<R, E>,
    ) -> Result<(R, Lsn), E> {
        self.inner.append_frame(0, build)
    }

    /// The same for a frame that is likely to take so many bytes: the file has space for it before `build` is run, which
    /// is asked for outside of the locks that `build` takes.
    pub fn append_large<R, E: From<LogError>>(
        &self,
        bytes_likely: u64,
        build: impl FnOnce(&mut Frame<'_>) -> Result<R, E>,
    ) -> Result<(R, Lsn), E> {
        self.inner.append_frame(bytes_likely, build)
    }
}

impl Inner {
    pub(crate) fn append_frame<R, E: From<LogError>>(
        &self,
        bytes_likely: u64,
        build: impl FnOnce(&mut Frame<'_>) -> Result<R, E>,
    ) -> Result<(R, Lsn), E> {
        let inner = self;
        inner.wait_for_room()?;
        let mut state = inner.lock_append();
        state.trim();
        // Only now is it certain that nobody was fenced or closed in between.
        let durable = inner.check_open()?;
        let no_space = inner.make_room(&mut state, bytes_likely)?;
        let segment = state.segment();
        let start = segment.bytes.len();
        let header_place = segment.bytes.zeros(FRAME_HEADER_BYTES);
        let (generation, position) = (state.active.header.generation, state.position);
        let mut frame = Frame {
            inner,
            seed: entry_seed(generation, position, Lsn(state.last_lsn.0 + 1)),
            state: &mut state,
            start,
            header_place,
            entries: 0,
            durable,
            no_space,
            batches: Vec::new(),
            next: HashMap::new(),
            draft: Draft::default(),
            log_starts: Vec::new(),
            compacted: None,
        };
        match build(&mut frame) {
            Ok(result) => {
                frame.finish();
                let lsn = state.last_lsn;
                Ok((result, lsn))
            }
            Err(error) => {
                drop(frame);
                state.trim();
                Err(error)
            }
        }
    }
}

/// A frame that is being built.
pub struct Frame<'a> {
    inner: &'a Inner,
    state: &'a mut AppendState,
    /// Where the frame begins in the pending bytes.
    start: usize,
    header_place: Place,
    seed: u32,
    entries: u32,
    durable: Lsn,
    /// Why the frame must not grow the log, if so.
    no_space: Option<LogError>,
    batches: Vec<(PartitionId, IndexEntry)>,
    /// Next offsets of the partitions that this frame appends to.
    next: HashMap<PartitionId, i64>,
    /// This frame's changes of the catalog.
    draft: Draft,
    log_starts: Vec<(PartitionId, i64)>,
    compacted: Option<Replacement<'a>>,
}

/// What compaction changes in a partition.
struct Replacement<'a> {
    change: CatalogChange,
    file: Option<Arc<LogFile>>,
    /// Held until the change is in force, so that nobody pins what it takes away.
    _pins: MutexGuard<'a, Pins>,
}

impl Frame<'_> {
    /// Appends a record batch; patches its base offset and leader epoch. Answers the base offset.
    ///
    /// `records` is the number of offsets it takes (last offset delta + 1).
    pub fn batch(
        &mut self,
        partition: PartitionId,
        records: u32,
        max_timestamp_ms: i64,
        bytes: &[u8],
    ) -> Result<Offset, LogError> {
        self.place_batch(partition, records, max_timestamp_ms, Data::Copied(bytes))
    }

    /// `batch` of a batch in Kafka's format 2 whose own checksum the caller has compared: a long one is neither copied nor
    /// summed again, and its memory stays in use until it is written.
    pub fn checked_batch(
        &mut self,
        partition: PartitionId,
        records: u32,
        max_timestamp_ms: i64,
        bytes: &Bytes,
    ) -> Result<Offset, LogError> {
        let data = if bytes.len() < SHARED_BYTES_MIN { Data::Copied(bytes) } else { Data::Shared(bytes) };
        self.place_batch(partition, records, max_timestamp_ms, data)
    }

    fn place_batch(
        &mut self,
        partition: PartitionId,
        records: u32,
        max_timestamp_ms: i64,
        data: Data<'_>,
    ) -> Result<Offset, LogError> {
        let bytes = data.bytes();
        if bytes.len() < BATCH_BYTES_MIN || records == 0 || records > i32::MAX as u32 {
            return Err(LogError::Invalid(format!(
                "a record batch of bytes={} with records={records} is not valid",
                bytes.len()
            )));
        }
        let base = self.next_offset(partition)?.0;
        let end = base
            .checked_add(i64::from(records))
            .ok_or_else(|| LogError::Invalid(format!("partition={partition} has no offsets left")))?;
        let header = EntryHeader {
            kind: EntryKind::Batch,
            ordinal: 0,
            partition,
            length: 0,
            base_offset: base,
            records,
            max_timestamp_ms,
            data_crc: 0,
        };
        let length = bytes.len() as u32;
        let (position, crc) = self.push(header, data, true)?;
        let entry = IndexEntry { base_offset: base, records, length, position, max_timestamp_ms, crc };
        self.batches.push((partition, entry));
        self.next.insert(partition, end);
        Ok(Offset(base))
    }

    /// The LSN that the frame gets if anything is pushed.
    pub fn lsn(&self) -> Lsn {
        Lsn(self.state.last_lsn.0 + 1)
    }

    /// Appends an entry of an upper layer.
    pub fn layer(&mut self, layer: Layer, bytes: &[u8]) -> Result<(), LogError> {
        self.push(plain(EntryKind::Layer(layer.0)), Data::Copied(bytes), true).map(|_| ())
    }

    /// Creates a topic; `Conflict` if the name exists, `Invalid` for a wrong name, number or configuration.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: u32,
        config: BTreeMap<String, String>,
    ) -> Result<TopicId, LogError> {
        check_topic_name(name)?;
        TopicConfig::check(&config)?;
        if self.topic(name).is_some() {
            return Err(LogError::Conflict(format!("topic '{name}' already exists")));
        }
        if partitions == 0 || partitions > PARTITIONS_PER_TOPIC_MAX {
            return Err(LogError::Invalid(format!(
                "partitions={partitions} is not valid: a topic has 1 to {PARTITIONS_PER_TOPIC_MAX}"
            )));
        }
        let mut id = TopicId([0; 16]);
        self.inner.os.random.fill(&mut id.0);
        // The marks of a random UUID (RFC 9562, version 4).
        id.0[6] = id.0[6] & 0x0f | 0x40;
        id.0[8] = id.0[8] & 0x3f | 0x80;
        let partitions = self.new_partitions(partitions)?;
        self.change(CatalogChange::TopicCreated { name: name.to_string(), id, partitions, config }, true)?;
        Ok(id)
    }

    /// Deletes a topic and its records; their space comes back by whole log files. `Pinned` when a pin needs one of them.
    pub fn delete_topic(&mut self, name: &str) -> Result<(), LogError> {
        let topic = self.existing(name)?;
        let pins = lock(&self.inner.pins);
        let pinned =
            topic.partitions.iter().find_map(|partition| Some((*partition, pins.lowest(*partition)?)));
        drop(pins);
        if let Some((partition, (owner, from))) = pinned {
            let from = Offset(from);
            return Err(LogError::Pinned { what: format!("topic '{name}'"), owner, partition, from });
        }
        self.delete_own_topic(name)
    }

    /// The same whatever is pinned: for whoever made the topic for itself and ends with it.
    pub fn delete_own_topic(&mut self, name: &str) -> Result<(), LogError> {
        let topic = self.existing(name)?;
        self.change(CatalogChange::TopicDeleted { name: name.to_string(), id: topic.id }, false)
    }

    /// Gives a topic more partitions, up to `total`.
    pub fn add_partitions(&mut self, name: &str, total: u32) -> Result<(), LogError> {
        let topic = self.existing(name)?;
        let now = topic.partitions.len() as u32;
        if total <= now || total > PARTITIONS_PER_TOPIC_MAX {
            return Err(LogError::Invalid(format!(
                "topic '{name}' has partitions={now}; the new total must be larger and at most \
                 {PARTITIONS_PER_TOPIC_MAX}, not {total}"
            )));
        }
        let added = self.new_partitions(total - now)?;
        self.change(CatalogChange::PartitionsAdded { name: name.to_string(), id: topic.id, added }, true)
    }

    /// Replaces a topic's configuration.
    pub fn set_topic_config(&mut self, name: &str, config: BTreeMap<String, String>) -> Result<(), LogError> {
        TopicConfig::check(&config)?;
        let topic = self.existing(name)?;
        self.change(CatalogChange::ConfigSet { name: name.to_string(), id: topic.id, config }, false)
    }

    /// Deletes the records before an offset, at most those that are durable. Answers the new log start.
    /// `Pinned` when a pin needs one of them.
    pub fn delete_records(&mut self, partition: PartitionId, before: Offset) -> Result<Offset, LogError> {
        let (log_start, durable) = {
            let known = self.inner.partition(partition)?;
            let state = known.state();
            (state.log_start, state.durable)
        };
        if before.0 < 0 || before.0 > durable {
            return Err(LogError::OffsetOutOfRange {
                partition,
                requested: before,
                log_start: Offset(log_start),
                high_watermark: Offset(durable),
            });
        }
        if before.0 <= log_start {
            return Ok(Offset(log_start));
        }
        if let Some((owner, from)) =
            lock(&self.inner.pins).lowest(partition).filter(|(_, from)| *from < before.0)
        {
            let what = format!("the records before offset={before}");
            return Err(LogError::Pinned { what, owner, partition, from: Offset(from) });
        }
        self.move_log_start(partition, before.0)?;
        Ok(before)
    }

    /// The next offset of a partition, after this frame's own batches.
    pub fn next_offset(&self, partition: PartitionId) -> Result<Offset, LogError> {
        if let Some(next) = self.next.get(&partition) {
            return Ok(Offset(*next));
        }
        match self.draft.partition(partition) {
            None => Ok(Offset(self.inner.partition(partition)?.state().end)),
            Some(true) => Ok(Offset(0)),
            Some(false) => Err(LogError::NotFound(format!("partition={partition} does not exist"))),
        }
    }

    /// A topic as this frame has left it.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.draft.topic(name).unwrap_or_else(|| self.inner.catalog().topics.get(name).cloned())
    }

    /// How many partitions there are in all, as this frame has left them.
    pub fn partition_count(&self) -> usize {
        self.draft.partition_count(self.inner.catalog().by_partition.len())
    }

    pub(crate) fn move_log_start(&mut self, partition: PartitionId, log_start: i64) -> Result<(), LogError> {
        self.change(CatalogChange::LogStartMoved { partition, log_start: Offset(log_start) }, false)?;
        self.log_starts.push((partition, log_start));
        Ok(())
    }

    /// Puts a segment, whose file is durable, in the place of a partition's batches; one change for each frame.
    /// `Pinned` when a pin needs one of them.
    pub(crate) fn compacted(
        &mut self,
        change: CatalogChange,
        file: Option<Arc<LogFile>>,
    ) -> Result<(), LogError> {
        let CatalogChange::Compacted { partition, from, to, .. } = &change else {
            return Err(LogError::Internal("it is no change by compaction".into()));
        };
        self.inner.partition(*partition)?;
        let pins = lock(&self.inner.pins);
        if let Some((owner, pinned)) = pins.lowest(*partition).filter(|(_, pin)| from < to && *pin < to.0) {
            let what = format!("the records before offset={to}");
            return Err(LogError::Pinned { what, owner, partition: *partition, from: Offset(pinned) });
        }
        self.change(change.clone(), false)?;
        self.compacted = Some(Replacement { change, file, _pins: pins });
        Ok(())
    }

    fn existing(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        self.topic(name).ok_or_else(|| LogError::NotFound(format!("topic '{name}' does not exist")))
    }

    fn new_partitions(&self, count: u32) -> Result<Vec<PartitionId>, LogError> {
        let next = self.draft.partition_next(self.inner.catalog().partition_next);
        let end =
            next.checked_add(count).ok_or_else(|| LogError::Invalid("no partition ids are left".into()))?;
        Ok((next..end).map(PartitionId).collect())
    }

    fn change(&mut self, change: CatalogChange, grows: bool) -> Result<(), LogError> {
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        // The callers have checked that the change fits; so this leaves the catalog as the entry says.
        let step = Step::of(&change, |name| self.topic(name))?;
        self.push(plain(EntryKind::Catalog), Data::Copied(&bytes), grows)?;
        if let Some(step) = step {
            self.draft.push(step);
        }
        Ok(())
    }

    /// Adds an entry to the pending bytes; answers its position in the file and its checksum.
    fn push(&mut self, mut header: EntryHeader, data: Data<'_>, grows: bool) -> Result<(u64, u32), LogError> {
        let bytes = data.bytes();
        if let Some(error) = self.no_space.as_ref().filter(|_| grows) {
            return Err(error.clone());
        }
        if bytes.len() > self.inner.options.entry_bytes_max {
            return Err(LogError::Invalid(format!(
                "an entry of bytes={} is larger than the limit of {}",
                bytes.len(),
                self.inner.options.entry_bytes_max
            )));
        }
        let space = entry_space(bytes.len());
        let frame_bytes = self.state.segment().bytes.len() - self.start;
        if self.entries as usize >= ENTRIES_PER_FRAME_MAX || frame_bytes + space > FRAME_BYTES_MAX {
            return Err(LogError::Invalid("the frame is full: append in smaller portions".into()));
        }
        self.reserve((frame_bytes + space) as u64)?;
        header.ordinal = self.entries as u16;
        header.length = bytes.len() as u32;
        let seed = self.seed;
        let segment = self.state.segment();
        let position = segment.position + (segment.bytes.len() + ENTRY_HEADER_BYTES) as u64;
        let header_place = segment.bytes.zeros(ENTRY_HEADER_BYTES);
        header.data_crc = match (data, header.kind) {
            (Data::Copied(bytes), EntryKind::Batch) => {
                let place = segment.bytes.copy(&batch_start(bytes, header.base_offset));
                segment.bytes.copy(&bytes[BATCH_BYTES_MIN..]);
                crc32c::crc32c(segment.bytes.copied_from(place))
            }
            (Data::Copied(bytes), _) => {
                segment.bytes.copy(bytes);
                crc32c::crc32c(bytes)
            }
            (Data::Shared(bytes), _) => share_batch(&mut segment.bytes, bytes, header.base_offset),
        };
        segment.bytes.zeros(space - ENTRY_HEADER_BYTES - bytes.len());
        segment.bytes.patch(header_place, &header.encode(seed));
        self.entries += 1;
        Ok((position, header.data_crc))
    }

    /// Makes sure that the active file has space for a frame of this length.
    fn reserve(&mut self, frame_bytes: u64) -> Result<(), LogError> {
        let needed = self.state.position + frame_bytes;
        if needed <= self.state.allocated {
            return Ok(());
        }
        let allocated = needed.next_multiple_of(64 << 10);
        if let Err(error) = self.state.handle.allocate(allocated) {
            self.state.too_short = true;
            return Err(LogError::io("extend the log file", &self.state.active.path, error));
        }
        self.state.allocated = allocated;
        self.state.active.length.store(allocated, Ordering::Relaxed);
        Ok(())
    }

    /// Completes the frame's header and applies what the frame changes.
    fn finish(mut self) {
        if self.entries == 0 {
            self.state.trim();
            return;
        }
        let start = self.start;
        let segment = self.state.segment();
        let frame_bytes = segment.bytes.len() - start;
        let header = FrameHeader {
            generation: segment.file.header.generation,
            lsn: Lsn(0),
            position: segment.position + start as u64,
            durable: self.durable,
            appended_ms: self.inner.os.clock.now_ms(),
            body_bytes: (frame_bytes - FRAME_HEADER_BYTES) as u32,
            entries: self.entries,
            flags: 0,
        };
        let header = FrameHeader { lsn: Lsn(self.state.last_lsn.0 + 1), ..header };
        let segment = self.state.segment();
        segment.bytes.patch(self.header_place, &header.encode());
        let file = segment.file.clone();
        self.publish_catalog();
        let mut appended = Appended::default();
        for (id, entry) in std::mem::take(&mut self.batches) {
            appended.add(entry.records, entry.length);
            if let Ok(partition) = self.inner.partition(id) {
                let mut state = partition.state();
                state.appended.add(entry.records, entry.length);
                state.push(&file, entry);
            }
        }
        for (id, end) in std::mem::take(&mut self.next) {
            self.state.pending.ends.insert(id, end);
        }
        let mut frees_space = false;
        for (id, log_start) in std::mem::take(&mut self.log_starts) {
            if let Ok(partition) = self.inner.partition(id) {
                partition.state().move_log_start(log_start);
                frees_space = true;
            }
        }
        if let Some(Replacement { change, file, .. }) = self.compacted.take() {
            if let CatalogChange::Compacted { partition, .. } = &change
                && let Ok(partition) = self.inner.partition(*partition)
            {
                partition.state().compacted(&change, file.as_ref());
            }
            frees_space = true;
        }
        if frees_space {
            self.inner.want_recycling();
        }
        self.inner.account(self.state, frame_bytes as u64, appended);
    }

    fn publish_catalog(&mut self) {
        let steps = std::mem::take(&mut self.draft.steps);
        if steps.is_empty() {
            return;
        }
        let mut deleted = false;
        {
            let mut partitions = self.inner.partitions.write().unwrap_or_else(PoisonError::into_inner);
            for step in &steps {
                for id in step.gone() {
                    deleted |= partitions.remove(id).is_some();
                }
                for id in step.added() {
                    partitions.insert(*id, Partition::new(*id, PartitionState::default()));
                }
            }
        }
        {
            let mut catalog = self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner);
            steps.iter().for_each(|step| catalog.take(step));
        }
        if deleted {
            self.inner.want_recycling();
        }
    }
}

/// An entry's bytes.
#[derive(Clone, Copy)]
enum Data<'a> {
    Copied(&'a [u8]),
    /// A record batch whose checksum is that of its bytes.
    Shared(&'a Bytes),
}

impl<'a> Data<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Data::Copied(bytes) => bytes,
            Data::Shared(bytes) => bytes,
        }
    }
}

/// A batch's first bytes with the base offset and the leader epoch that it gets here.
fn batch_start(bytes: &[u8], base_offset: i64) -> [u8; BATCH_BYTES_MIN] {
    let mut start = [0; BATCH_BYTES_MIN];
    start.copy_from_slice(&bytes[..BATCH_BYTES_MIN]);
    start[..8].copy_from_slice(&base_offset.to_be_bytes());
    start[12..].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
    start
}

/// Adds a batch of which only the part before its checksum's range is copied; answers the checksum of all its bytes.
fn share_batch(group: &mut GroupBytes, bytes: &Bytes, base_offset: i64) -> u32 {
    let place = group.copy(&batch_start(bytes, base_offset));
    group.copy(&bytes[BATCH_BYTES_MIN..BATCH_SUMMED_FROM]);
    let start_crc = crc32c::crc32c(group.copied_from(place));
    let mut own_crc = [0; 4];
    own_crc.copy_from_slice(&bytes[BATCH_SUMMED_FROM - 4..BATCH_SUMMED_FROM]);
    let rest = bytes.slice(BATCH_SUMMED_FROM..);
    let crc = checksum::joined(start_crc, u32::from_be_bytes(own_crc), rest.len());
    group.share(rest);
    crc
}

fn plain(kind: EntryKind) -> EntryHeader {
    EntryHeader {
        kind,
        ordinal: 0,
        partition: PartitionId(0),
        length: 0,
        base_offset: 0,
        records: 0,
        max_timestamp_ms: 0,
        data_crc: 0,
    }
}
