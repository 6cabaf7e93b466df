//! Where spans are handed in. Nobody waits here: what has no room is dropped and counted.

use crate::context::{SpanId, TraceContext, TraceId};
use crate::exporter::BATCH_SPANS;
use crate::sampler::Sampler;
use crate::span::Span;
use os::{Clock, Os, Random};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Spans that may wait to be sent; with their links and texts some 30 MB at the very most.
pub(crate) const WAITING_SPANS_MAX: usize = 8192;

/// A wall clock that was set runs on from its new time when it is so far off.
const CLOCK_OFF_NS: u64 = 50_000_000;

/// A handle; clones hand in to the same exporter. Without one everything is off.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Shared>>);

pub(crate) struct Shared {
    sampler: Sampler,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// The wall clock in ns, less the monotonic one.
    anchor_ns: AtomicU64,
    /// Somebody waits for single spans.
    tells_each: bool,
    pub(crate) waiting: Mutex<Waiting>,
    pub(crate) changed: Condvar,
    pub(crate) counters: Counters,
}

#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) spans: Vec<Span>,
    pub(crate) stops: bool,
    pub(crate) ended: bool,
}

/// What became of spans since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) recorded: AtomicU64,
    pub(crate) exported: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Tracer {
    pub fn off() -> Tracer {
        Tracer(None)
    }

    pub(crate) fn on(os: &Os, sampler: Sampler, tells_each: bool) -> Tracer {
        Tracer(Some(Arc::new(Shared {
            sampler,
            clock: os.clock.clone(),
            random: os.random.clone(),
            anchor_ns: AtomicU64::new(0),
            tells_each,
            waiting: Mutex::default(),
            changed: Condvar::new(),
            counters: Counters::default(),
        })))
    }

    /// One that keeps its spans for whoever asks, for tests.
    pub fn collecting(os: &Os, sampler: Sampler) -> (Tracer, Collected) {
        let tracer = Tracer::on(os, sampler, true);
        (tracer.clone(), Collected(tracer))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        self.0.as_ref()
    }

    /// The wall clock, in nanoseconds since 1970; 0 when off.
    pub fn now_ns(&self) -> u64 {
        let Some(shared) = &self.0 else { return 0 };
        let wall_ns = u64::try_from(shared.clock.now_ms()).unwrap_or(0).saturating_mul(1_000_000);
        let monotonic_ns = shared.clock.monotonic_ns();
        let now_ns = shared.anchor_ns.load(Ordering::Relaxed).wrapping_add(monotonic_ns);
        if now_ns.abs_diff(wall_ns) <= CLOCK_OFF_NS {
            return now_ns;
        }
        shared.anchor_ns.store(wall_ns.wrapping_sub(monotonic_ns), Ordering::Relaxed);
        wall_ns
    }

    /// The place of a span that begins now: below `parent`, or in a trace of its own. Also for one that is not kept, so
    /// that those behind it know.
    pub fn begin(&self, parent: Option<&TraceContext>) -> Option<TraceContext> {
        let shared = self.0.as_ref()?;
        let span = SpanId(shared.random.next_u64().max(1).to_be_bytes());
        Some(match parent {
            Some(parent) => {
                let sampled = self.keeps(parent.trace, Some(parent.sampled));
                TraceContext { span, sampled, ..parent.clone() }
            }
            None => {
                let halves = [shared.random.next_u64().max(1), shared.random.next_u64().max(1)];
                let mut id = [0; 16];
                id[..8].copy_from_slice(&halves[0].to_be_bytes());
                id[8..].copy_from_slice(&halves[1].to_be_bytes());
                let trace = TraceId(id);
                TraceContext { trace, span, sampled: self.keeps(trace, None), state: None }
            }
        })
    }

    /// Whether spans of a trace are kept, which came with this decision of somebody else's or begins here.
    pub fn keeps(&self, trace: TraceId, parent: Option<bool>) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.sampler.keeps(trace, parent))
    }

    /// Hands in a finished span; one that is not sampled is forgotten.
    pub fn record(&self, span: Span) {
        let Some(shared) = self.0.as_ref().filter(|_| span.context.sampled) else { return };
        shared.counters.recorded.fetch_add(1, Ordering::Relaxed);
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.spans.len() >= WAITING_SPANS_MAX {
            shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.spans.push(span);
        // The exporter wakes up for the first one, and when there is enough for a request.
        if shared.tells_each || waiting.spans.len() % BATCH_SPANS == 1 {
            shared.changed.notify_all();
        }
    }

    /// Counts spans that were not made, because there were too many at once.
    pub fn left_out(&self, spans: u64) {
        if let Some(shared) = &self.0 {
            shared.counters.recorded.fetch_add(spans, Ordering::Relaxed);
            shared.counters.dropped.fetch_add(spans, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_on() { "Tracer(on)" } else { "Tracer(off)" })
    }
}

/// The spans of a tracer without an exporter.
pub struct Collected(Tracer);

impl Collected {
    /// Waits until there are so many spans, and takes all that there are; fewer when `timeout` has passed.
    pub fn take(&self, count: usize, timeout: Duration) -> Vec<Span> {
        let Some(shared) = self.0.shared() else { return Vec::new() };
        let waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = shared
            .changed
            .wait_timeout_while(waiting, timeout, |waiting| waiting.spans.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut { waits.0 }.spans)
    }
}
