//! The thread that sends spans to a collector by OTLP over HTTP.
//!
//! Spans go in requests of at most [`BATCH_SPANS`], at the latest a second after they came. A collector that cannot be
//! reached, or says that it is busy, is asked again after growing pauses; what comes meanwhile waits up to the tracer's
//! limit, and the rest is dropped and counted. A batch that is refused for good is dropped.

use crate::otlp;
use crate::settings::TraceSettings;
use crate::span::Span;
use crate::tracer::{Shared, Tracer};
use auth::AuthError;
use metrics::{Family, Page, Table, counter, gauge};
use os::Os;
use os::http::Request;
use rustls::ClientConfig;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const BATCH_SPANS: usize = 512;
const DELAY: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// After so many attempts a batch is given up, so that newer spans get their turn.
const ATTEMPTS_MAX: u32 = 6;
/// What is not sent so long after the exporter was told to end is lost: a node does not wait for its collector.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer that are shown.
const SHOWN_BYTES_MAX: usize = 200;

pub struct Exporter {
    tracer: Tracer,
    thread: Option<JoinHandle<()>>,
}

type Tell = Arc<dyn Fn(&str) + Send + Sync>;

impl Exporter {
    /// `version` is that of the program; `tell` is told when the collector goes away and comes again.
    pub fn start(os: &Os, settings: TraceSettings, version: &str, tell: Tell) -> Result<Exporter, AuthError> {
        let tls = match settings.url.tls {
            true => Some(Arc::new(auth::tls::client_of_web(&settings.authorities)?)),
            false => None,
        };
        let tracer = Tracer::on(os, settings.sampler, false);
        let sender = Sender { os: os.clone(), settings, tls, version: version.into(), tell, is_away: false };
        let shared = tracer.shared().cloned();
        let run = move || {
            if let Some(shared) = shared {
                let ending = Ending(&shared);
                sender.run(ending.0);
            }
        };
        let thread = std::thread::Builder::new().name("traces".into()).spawn(run);
        let thread = thread.map_err(|error| AuthError(format!("no thread for traces: {error}")))?;
        Ok(Exporter { tracer, thread: Some(thread) })
    }

    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what waits, once and for [`STOP_MAX`] at most, and ends.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some((thread, shared)) = self.thread.take().zip(self.tracer.shared()) else { return };
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.stops = true;
        shared.changed.notify_all();
        let waits = shared.changed.wait_timeout_while(waiting, STOP_MAX, |waiting| !waiting.ended);
        let (waiting, waited) = waits.unwrap_or_else(PoisonError::into_inner);
        drop(waiting);
        // A request that is under way ends by its own time-out, and nobody waits for that.
        if !waited.timed_out() {
            let _ = thread.join();
        }
    }
}

/// Tells that the thread is done, also if it panics.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.end();
    }
}

enum Sent {
    Taken {
        refused: u64,
    },
    /// Worth another attempt.
    NotNow(String),
    Never(String),
}

struct Sender {
    os: Os,
    settings: TraceSettings,
    tls: Option<Arc<ClientConfig>>,
    version: String,
    tell: Tell,
    is_away: bool,
}

impl Sender {
    fn run(mut self, shared: &Shared) {
        loop {
            let (spans, stops) = next(shared);
            let is_there = spans.is_empty() || self.deliver(shared, &spans);
            if !is_there && drop_if_stopping(shared) || stops && spans.len() < BATCH_SPANS {
                return;
            }
        }
    }

    /// False if the collector could not be reached, or was too busy.
    fn deliver(&mut self, shared: &Shared, spans: &[Span]) -> bool {
        let body = otlp::encode(&self.settings.resource, &self.version, spans);
        let count = spans.len() as u64;
        let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS_MAX {
            match self.send(&body) {
                Sent::Taken { refused } => {
                    let refused = refused.min(count);
                    add(&shared.counters.exported, count - refused);
                    add(&shared.counters.refused, refused);
                    if std::mem::take(&mut self.is_away) {
                        (self.tell)("traces: the collector takes spans again");
                    }
                    return true;
                }
                Sent::Never(reason) => {
                    add(&shared.counters.failures, 1);
                    add(&shared.counters.refused, count);
                    self.went_away(&reason);
                    return true;
                }
                Sent::NotNow(reason) => {
                    add(&shared.counters.failures, 1);
                    self.went_away(&reason);
                    if attempt == ATTEMPTS_MAX || rests(shared, pause) {
                        break;
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        add(&shared.counters.dropped, count);
        false
    }

    /// Said once, until it works again.
    fn went_away(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_away, true) {
            let endpoint = self.settings.endpoint();
            (self.tell)(&format!("warning: traces: spans cannot be sent to {endpoint}: {reason}"));
        }
    }

    fn send(&self, body: &[u8]) -> Sent {
        let TraceSettings { url, headers, timeout, .. } = &self.settings;
        let mut all = vec![("Content-Type", "application/x-protobuf"), ("User-Agent", "eventwright")];
        all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let address = url.address();
        let request = Request { method: "POST", address: &address, path: &url.path, headers: &all, body };
        let tls = self.tls.as_ref().map(|config| (config, url.host.as_str()));
        match auth::https::exchange_within(&self.os, tls, &request, *timeout) {
            Err(error) => Sent::NotNow(error.to_string()),
            Ok(answer) => match answer.status {
                200..=299 => Sent::Taken { refused: otlp::refused(&answer.body) },
                429 | 502..=504 => Sent::NotNow(format!("it answers with status {}", answer.status)),
                status => {
                    let shown = &answer.body[..answer.body.len().min(SHOWN_BYTES_MAX)];
                    Sent::Never(format!(
                        "it answers with status {status}: {}",
                        String::from_utf8_lossy(shown).escape_debug()
                    ))
                }
            },
        }
    }
}

/// The next spans to be sent, and whether the exporter is to end.
fn next(shared: &Shared) -> (Vec<Span>, bool) {
    let waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let nothing = |waiting: &mut crate::tracer::Waiting| waiting.spans.is_empty() && !waiting.stops;
    let waiting = shared.changed.wait_while(waiting, nothing).unwrap_or_else(PoisonError::into_inner);
    // More may come that fit into the same request.
    let few = |waiting: &mut crate::tracer::Waiting| waiting.spans.len() <= BATCH_SPANS && !waiting.stops;
    let waits = shared.changed.wait_timeout_while(waiting, DELAY, few);
    let (mut waiting, _) = waits.unwrap_or_else(PoisonError::into_inner);
    let count = waiting.spans.len().min(BATCH_SPANS);
    let rest = waiting.spans.split_off(count);
    (std::mem::replace(&mut waiting.spans, rest), waiting.stops)
}

/// If the exporter is to end, what waits for a collector that is away is dropped at once; true then.
fn drop_if_stopping(shared: &Shared) -> bool {
    let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    if waiting.stops {
        let dropped = std::mem::take(&mut waiting.spans).len() as u64;
        shared.counters.dropped.fetch_add(dropped, Ordering::Relaxed);
    }
    waiting.stops
}

/// Waits; true if the exporter is to end.
fn rests(shared: &Shared, pause: Duration) -> bool {
    let waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let waits = shared.changed.wait_timeout_while(waiting, pause, |waiting| !waiting.stops);
    waits.unwrap_or_else(PoisonError::into_inner).0.stops
}

/// As they are shown.
#[derive(Default)]
struct Measured {
    on: bool,
    recorded: u64,
    exported: u64,
    dropped: u64,
    refused: u64,
    failures: u64,
    waiting: usize,
}

const TRACES: Table<Measured> = Table {
    labels: &[],
    rows: &[
        gauge("eventwright_traces_on", "1 if spans are made and sent to a collector.", |all| {
            Some(all.on.into())
        }),
        counter("eventwright_traces_spans_total", "Sampled spans that were made.", |all| {
            Some(all.recorded.into())
        }),
        counter("eventwright_traces_exported_spans_total", "Spans that the collector has taken.", |all| {
            Some(all.exported.into())
        }),
        counter(
            "eventwright_traces_dropped_spans_total",
            "Spans that had no room or could not be delivered in time.",
            |all| Some(all.dropped.into()),
        ),
        counter("eventwright_traces_refused_spans_total", "Spans that the collector refused.", |all| {
            Some(all.refused.into())
        }),
        counter(
            "eventwright_traces_failed_requests_total",
            "Requests to the collector that failed.",
            |all| Some(all.failures.into()),
        ),
        gauge("eventwright_traces_waiting_spans", "Spans that wait to be sent.", |all| {
            Some(all.waiting.into())
        }),
    ],
};

pub fn metric_families() -> Vec<Family> {
    TRACES.families().collect()
}

impl Tracer {
    /// Its part of the page of metrics.
    pub fn write_metrics(&self, page: &mut Page) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let measured = self.shared().map_or_else(Measured::default, |shared| Measured {
            on: true,
            recorded: read(&shared.counters.recorded),
            exported: read(&shared.counters.exported),
            dropped: read(&shared.counters.dropped),
            refused: read(&shared.counters.refused),
            failures: read(&shared.counters.failures),
            waiting: shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).spans.len(),
        });
        page.one(&TRACES, &measured);
    }
}
