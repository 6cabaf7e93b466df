//! Spans for records that Kafka's clients produce and that carry a sampled trace context.
//!
//! A batch is opaque to the broker. Where traces are wanted, a batch that is not compressed is searched for the name of
//! the header, and copied only if it has it. A compressed one must be opened to know: that happens on a thread beside
//! the requests, for so many bytes in a second, and what is beyond goes without spans. Records stay as they are.

use bytes::Bytes;
use kafka_wire::records::{Batch, Compression};
use os::Clock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use traces::{Kind, Span, Tracer};

/// Batches that wait for a look, and the bytes of all of them.
const WAITING_BATCHES_MAX: usize = 256;
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Compressed bytes that are opened in a second.
const COMPRESSED_BYTES_PER_SECOND: usize = 8 << 20;

/// What the records of a batch may take when it is opened.
const RECORDS_BYTES_MAX: usize = 64 << 20;

/// Spans of one batch; it may have a context for each record.
const SPANS_MAX: usize = 32;

/// A batch that is in the log.
pub(crate) struct Produced {
    topic: String,
    partition: u32,
    base_offset: i64,
    begin_ns: u64,
    end_ns: u64,
    batch: Bytes,
}

/// Hands batches to the thread that looks into them.
pub(crate) struct ProduceSpans {
    tracer: Tracer,
    clock: Arc<dyn Clock>,
    /// None where no thread could be had.
    queue: Option<SyncSender<Produced>>,
    waiting_bytes: Arc<AtomicUsize>,
    opened: Mutex<Opened>,
}

/// The compressed bytes of a second.
#[derive(Default)]
struct Opened {
    second: u64,
    bytes: usize,
}

impl ProduceSpans {
    pub(crate) fn new(tracer: Tracer, clock: Arc<dyn Clock>) -> Option<ProduceSpans> {
        if !tracer.is_on() {
            return None;
        }
        let (queue, batches) = sync_channel(WAITING_BATCHES_MAX);
        let waiting_bytes = Arc::<AtomicUsize>::default();
        let (of_thread, waiting) = (tracer.clone(), waiting_bytes.clone());
        let look = move || look(&of_thread, &waiting, &batches);
        let thread = std::thread::Builder::new().name("produce-spans".into()).spawn(look);
        let queue = thread.is_ok().then_some(queue);
        Some(ProduceSpans { tracer, clock, queue, waiting_bytes, opened: Mutex::default() })
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.tracer.now_ns()
    }

    /// A batch that went into the log, if a look into it is worth it and there is room for one.
    pub(crate) fn candidate(
        &self,
        (topic, partition): (&str, u32),
        base_offset: i64,
        begin_ns: u64,
        batch: &Bytes,
    ) -> Option<Produced> {
        let header = kafka_wire::records::BatchHeader::parse(batch).ok()?;
        match header.compression() {
            Ok(Compression::None) => {
                memchr::memmem::find(batch, traces::TRACEPARENT.as_bytes())?;
            }
            _ if !self.may_open(batch.len()) => return None,
            _ => {}
        }
        if self.waiting_bytes.load(Ordering::Relaxed) + batch.len() > WAITING_BYTES_MAX {
            self.tracer.left_out(1);
            return None;
        }
        // The request that it came in must not stay in memory for it.
        let batch = Bytes::copy_from_slice(batch);
        Some(Produced { topic: topic.into(), partition, base_offset, begin_ns, end_ns: 0, batch })
    }

    fn may_open(&self, bytes: usize) -> bool {
        let second = self.clock.monotonic_ns() / 1_000_000_000;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.second != second {
            *opened = Opened { second, bytes: 0 };
        }
        let may = opened.bytes + bytes <= COMPRESSED_BYTES_PER_SECOND;
        opened.bytes += if may { bytes } else { 0 };
        may
    }

    /// They are durable now, or as good as that.
    pub(crate) fn are_durable(&self, batches: Vec<Produced>) {
        let end_ns = self.now_ns();
        for batch in batches {
            let bytes = batch.batch.len();
            self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
            let taken = self.queue.as_ref().map(|queue| queue.try_send(Produced { end_ns, ..batch }));
            if !matches!(taken, Some(Ok(()))) {
                self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.tracer.left_out(1);
            }
        }
    }
}

fn look(tracer: &Tracer, waiting_bytes: &AtomicUsize, batches: &Receiver<Produced>) {
    while let Ok(produced) = batches.recv() {
        record(tracer, &produced);
        waiting_bytes.fetch_sub(produced.batch.len(), Ordering::Relaxed);
    }
}

/// A span for each context of a batch.
fn record(tracer: &Tracer, produced: &Produced) {
    let opened = Batch::parse(&produced.batch).and_then(|batch| batch.records(RECORDS_BYTES_MAX));
    let Ok(records) = opened else { return };
    // The batch came before it had its place.
    let first = records.header().base_offset;
    let mut spans: Vec<(Span, i64)> = Vec::new();
    let mut left_out = 0;
    for record in records.iter().flatten() {
        let context = traces::of_headers(record.headers.map(|header| (header.key, header.value)));
        let Some(context) = context.filter(|context| tracer.keeps(context.trace, Some(context.sampled)))
        else {
            continue;
        };
        let is_same = |span: &Span| span.context.trace == context.trace && span.parent == Some(context.span);
        if let Some((_, count)) = spans.iter_mut().find(|(span, _)| is_same(span)) {
            *count += 1;
            continue;
        }
        if spans.len() == SPANS_MAX {
            left_out += 1;
            continue;
        }
        let Some(own) = tracer.begin(Some(&context)) else { return };
        let offset = produced.base_offset + record.offset - first;
        let span = Span::new(own, &format!("append {}", produced.topic), Kind::Server)
            .under(Some(context.span))
            .lasting(produced.begin_ns, produced.end_ns)
            .with("messaging.system", "kafka")
            .with("messaging.operation.name", "append")
            .with("messaging.destination.name", produced.topic.as_str())
            .with("messaging.destination.partition.id", produced.partition.to_string().as_str())
            .with("messaging.kafka.offset", offset);
        spans.push((span, 1));
    }
    for (span, count) in spans {
        tracer.record(span.with("messaging.batch.message_count", count));
    }
    tracer.left_out(left_out);
}
