//! The spans of a job: one for each context that a step's records bring, and one for each batch that it sends on.
//!
//! Ids are functions of what was read and of what was written, not of chance: a step that is run again makes the same
//! ones, and what waits in the state names spans that exist. A replay hands in no spans; they were, before.

use crate::coordinates::Range;
use crate::outputs::SinkAddress;
use arrow_array::UInt32Array;
use bytes::Bytes;
use dataflow::batch::Batch;
use dataflow::engine::{ReadTrace, RowTrace, STEP_CONTEXTS_MAX, SinkOutput};
use dataflow::plan::NodeId;
use dataflow::sink::TraceHeaders;
use dataflow::source::{SourceTraces, Split};
use kafka_wire::records::Batch as RecordBatch;
use std::collections::{BTreeMap, HashMap};
use traces::{Kind, Span, SpanId, TraceContext, TraceId, Tracer};

/// Spans that a step makes for what it sends at most; rows beyond that carry what they were made of.
const SENT_SPANS_MAX: usize = 1000;

/// Makes the ids of a job's spans.
#[derive(Debug, Clone)]
pub(crate) struct JobSpans {
    tracer: Tracer,
    job: String,
    instance: u64,
}

/// The contexts of the records of a step, and the spans that go on from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepSpans {
    pub(crate) traces: Vec<ReadTrace>,
    spans: Vec<Span>,
    /// Distinct ones: many rows may share one.
    contexts: usize,
    left_out: u64,
}

impl JobSpans {
    pub(crate) fn new(tracer: &Tracer, job: &str, instance: u64) -> Option<JobSpans> {
        tracer.is_on().then(|| JobSpans { tracer: tracer.clone(), job: job.to_string(), instance })
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.tracer.now_ns()
    }

    fn id(&self, parts: &[&[u8]]) -> u64 {
        let instance = self.instance.to_le_bytes();
        let mut bytes = Vec::with_capacity(64);
        for part in [instance.as_slice()].iter().chain(parts) {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        // No id is 0.
        state::hash(&bytes).max(1)
    }

    /// Notes what a read of a split brought: each context goes on with a span of its own. Where there is none, the first
    /// record of the read may begin a trace.
    pub(crate) fn note_read(
        &self,
        into: &mut StepSpans,
        (read, range): (usize, &Range),
        (table, split): (&str, &Split),
        traces: SourceTraces,
        begin_ns: u64,
    ) {
        let place = [range.scan.to_le_bytes(), range.split.to_le_bytes()].concat();
        let from = range.from.0.to_le_bytes();
        let mut made: HashMap<(TraceId, SpanId), (TraceContext, usize)> = HashMap::new();
        let span = |context: TraceContext| {
            let (topic, partition) = split.id.rsplit_once('/').unwrap_or((&split.id, ""));
            // What has landed from outside lies in a topic that nobody knows.
            let topic = if topic.starts_with("__") { table } else { topic };
            let span = Span::new(context, &format!("process {topic}"), Kind::Consumer)
                .lasting(begin_ns, begin_ns)
                .with("messaging.system", "kafka")
                .with("messaging.operation.name", "process")
                .with("messaging.operation.type", "process")
                .with("messaging.destination.name", topic)
                .with("eventwright.job", self.job.as_str())
                .with("eventwright.table", table);
            match partition.parse::<u32>() {
                Ok(_) => span.with("messaging.destination.partition.id", partition),
                Err(_) => span,
            }
        };
        let mut counts: Vec<(usize, i64)> = Vec::new();
        for (row, context) in traces.sampled {
            let known = made.get(&(context.trace, context.span)).cloned();
            if known.is_none() && into.contexts >= STEP_CONTEXTS_MAX {
                into.left_out += 1;
                continue;
            }
            let (context, count) = known.unwrap_or_else(|| {
                let parts: [&[u8]; 4] = [&place, &from, &context.trace.0, &context.span.0];
                let own = context.child(SpanId(self.id(&parts).to_be_bytes()));
                into.spans.push(span(own.clone()).under(Some(context.span)));
                into.contexts += 1;
                counts.push((into.spans.len() - 1, 0));
                made.insert((context.trace, context.span), (own.clone(), counts.len() - 1));
                (own, counts.len() - 1)
            });
            counts[count].1 += 1;
            into.traces.push(ReadTrace { read, row, context });
        }
        for (at, count) in counts {
            let whole = into.spans[at].clone().with("messaging.batch.message_count", count);
            into.spans[at] = whole;
        }
        let Some(row) = traces.first_without.filter(|_| into.contexts < STEP_CONTEXTS_MAX) else {
            return;
        };
        let half = |salt: &[u8]| self.id(&[&place, &from, salt]).to_be_bytes();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&half(b"trace"));
        id[8..].copy_from_slice(&half(b"low"));
        let trace = TraceId(id);
        if self.tracer.keeps(trace, None) {
            let context = TraceContext { trace, span: SpanId(half(b"root")), sampled: true, state: None };
            into.spans.push(span(context.clone()).with("messaging.batch.message_count", 1));
            into.contexts += 1;
            into.traces.push(ReadTrace { read, row, context });
        }
    }

    /// Gives the rows of each sink the context that their records carry, and makes a span for each of them.
    pub(crate) fn send(
        &self,
        outputs: &mut [SinkOutput],
        traces: &[RowTrace],
        addresses: &BTreeMap<NodeId, SinkAddress>,
        step: u64,
    ) -> SentSpans {
        let mut sent = SentSpans::default();
        let begin_ns = self.now_ns();
        for output in outputs {
            let Some(column) = output.rows.traces.take() else { continue };
            let address = addresses.get(&output.sink);
            let mut contexts = Vec::new();
            let mut known: HashMap<&RowTrace, u32> = HashMap::new();
            let mut numbers = Vec::with_capacity(column.len());
            let first = sent.spans.len();
            let mut counts: Vec<i64> = Vec::new();
            for number in column.values() {
                let Some(trace) = number.checked_sub(1).and_then(|at| traces.get(at as usize)) else {
                    numbers.push(0);
                    continue;
                };
                let number = *known.entry(trace).or_insert_with(|| {
                    let context = match address {
                        Some(address) if sent.spans.len() < SENT_SPANS_MAX => {
                            let count = (contexts.len() as u64).to_le_bytes();
                            let parts: [&[u8]; 4] = [
                                &step.to_le_bytes(),
                                &(output.sink.0 as u64).to_le_bytes(),
                                &count,
                                &trace.parent.span.0,
                            ];
                            let own = trace.parent.child(SpanId(self.id(&parts).to_be_bytes()));
                            sent.spans.push(self.sent_span(own.clone(), trace, address, begin_ns));
                            counts.push(0);
                            own
                        }
                        _ => {
                            sent.left_out += 1;
                            trace.parent.clone()
                        }
                    };
                    contexts.push(context);
                    contexts.len() as u32
                });
                if let Some(count) = counts.get_mut(number as usize - 1) {
                    *count += 1;
                }
                numbers.push(number);
            }
            for (span, count) in sent.spans[first..].iter_mut().zip(counts) {
                span.attributes.push(("messaging.batch.message_count", count.into()));
            }
            output.rows = Batch { traces: Some(UInt32Array::from(numbers)), ..output.rows.clone() };
            sent.carried.insert(output.sink, TraceHeaders::new(contexts));
        }
        sent
    }

    fn sent_span(&self, own: TraceContext, trace: &RowTrace, address: &SinkAddress, begin_ns: u64) -> Span {
        sent_span(own, trace.parent.span, address, &self.job)
            .lasting(begin_ns, begin_ns)
            .linked(trace.links.iter().cloned())
    }

    /// The step is in the log: its spans end.
    pub(crate) fn done(&self, step: StepSpans, sent: SentSpans, processed_ns: u64) {
        let now_ns = self.now_ns();
        for span in step.spans {
            self.tracer.record(Span { end_ns: processed_ns.max(span.begin_ns), ..span });
        }
        for span in sent.spans {
            self.tracer.record(Span { end_ns: now_ns.max(span.begin_ns), ..span });
        }
        self.tracer.left_out(step.left_out + sent.left_out);
    }
}

/// What a step sends.
#[derive(Default)]
pub(crate) struct SentSpans {
    pub(crate) carried: BTreeMap<NodeId, TraceHeaders>,
    spans: Vec<Span>,
    left_out: u64,
}

/// A span for records on their way to a table.
pub(crate) fn sent_span(own: TraceContext, parent: SpanId, address: &SinkAddress, job: &str) -> Span {
    Span::new(own, &format!("send {}", address.destination), Kind::Producer)
        .under(Some(parent))
        .with("messaging.system", address.system.as_str())
        .with("messaging.operation.name", "send")
        .with("messaging.operation.type", "send")
        .with("messaging.destination.name", address.destination.as_str())
        .with("eventwright.job", job)
        .with("eventwright.table", address.table.as_str())
}

/// Contexts that one batch of an outbox is looked through for, and that wait for a target at most.
const DELIVERED_SPANS_MAX: usize = 1000;

/// What the records of one batch of an outbox may take.
const RECORDS_BYTES_MAX: usize = 64 << 20;

/// What a header of an outbox's record is called outside: those of messages say whether they are the message's own.
fn outbox_name(key: &[u8]) -> &[u8] {
    key.strip_prefix(b"h:").or_else(|| key.strip_prefix(b"t:")).unwrap_or(key)
}

/// What a driver has given to a target: the spans of those records end when the target has them for good.
pub(crate) struct Deliveries {
    spans: JobSpans,
    address: SinkAddress,
    /// By the offset of the last record.
    waiting: Vec<(i64, Span)>,
}

impl Deliveries {
    pub(crate) fn new(spans: JobSpans, address: SinkAddress) -> Deliveries {
        Deliveries { spans, address, waiting: Vec::new() }
    }

    /// A batch of the outbox goes to the target.
    pub(crate) fn applied(&mut self, batch: &[u8], from: i64) {
        // Outboxes are not compressed, so this tells whether a closer look is worth it.
        if memchr::memmem::find(batch, traces::TRACEPARENT.as_bytes()).is_none() {
            return;
        }
        let opened = RecordBatch::parse(&Bytes::copy_from_slice(batch))
            .and_then(|batch| batch.records(RECORDS_BYTES_MAX));
        let Ok(records) = opened else { return };
        let begin_ns = self.spans.now_ns();
        for record in records.iter().flatten().filter(|record| record.offset >= from) {
            let headers = record.headers.map(|header| (outbox_name(header.key), header.value));
            let Some(context) = traces::of_headers(headers).filter(|context| context.sampled) else {
                continue;
            };
            let known = self.waiting.iter_mut().rev();
            if let Some((offset, _)) = known.into_iter().find(|(_, span)| span.parent == Some(context.span)) {
                *offset = record.offset;
                continue;
            }
            if self.waiting.len() >= DELIVERED_SPANS_MAX {
                self.spans.tracer.left_out(1);
                continue;
            }
            let parts: [&[u8]; 3] =
                [self.address.table.as_bytes(), &record.offset.to_le_bytes(), &context.span.0];
            let own = context.child(SpanId(self.spans.id(&parts).to_be_bytes()));
            let name = format!("deliver {}", self.address.destination);
            let span = Span::new(own, &name, Kind::Client)
                .under(Some(context.span))
                .lasting(begin_ns, begin_ns)
                .with("messaging.system", self.address.system.as_str())
                .with("messaging.destination.name", self.address.destination.as_str())
                .with("eventwright.job", self.spans.job.as_str())
                .with("eventwright.table", self.address.table.as_str());
            self.waiting.push((record.offset, span));
        }
    }

    /// The target has everything before this offset.
    pub(crate) fn committed(&mut self, end: i64) {
        let now_ns = self.spans.now_ns();
        let done = self.waiting.extract_if(.., |(offset, _)| *offset < end);
        for (_, span) in done {
            self.spans.tracer.record(Span { end_ns: now_ns.max(span.begin_ns), ..span });
        }
    }

    /// The target is asked again where it is, and gets the rest once more.
    pub(crate) fn begin_again(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::source::Position;
    use os::Os;
    use traces::Sampler;

    fn context(number: u32) -> TraceContext {
        let mut span = [1; 8];
        span[..4].copy_from_slice(&number.to_be_bytes());
        TraceContext { trace: TraceId([7; 16]), span: SpanId(span), sampled: true, state: None }
    }

    #[test]
    fn a_step_counts_contexts_and_not_their_rows() {
        let (tracer, _collected) = Tracer::collecting(&Os::real(), Sampler::default());
        let spans = JobSpans::new(&tracer, "job", 1).unwrap();
        let at = Position(0);
        let range = Range { scan: 0, split: 0, from: at, to: Position(1), finished: false, idle: false };
        let split = Split { id: "orders/0".into(), start: at, end: None, fingerprint: String::new() };
        let mut traces = SourceTraces::default();
        traces.note(Some(context(0)), 10 * STEP_CONTEXTS_MAX);
        for number in 1..=STEP_CONTEXTS_MAX as u32 {
            traces.note(Some(context(number)), 1);
        }
        // Known by now, so that it needs no room.
        traces.note(Some(context(0)), 1);
        let mut step = StepSpans::default();
        spans.note_read(&mut step, (0, &range), ("orders", &split), traces, 0);
        assert_eq!((step.spans.len(), step.left_out), (STEP_CONTEXTS_MAX, 1));
        assert_eq!(step.traces.len(), 11 * STEP_CONTEXTS_MAX);
        let count = ("messaging.batch.message_count", (10 * STEP_CONTEXTS_MAX as i64 + 1).into());
        assert!(step.spans[0].attributes.contains(&count), "{:?}", step.spans[0]);
    }
}
