//! `/metrics`: the page that Prometheus scrapes, put together from what each layer writes of itself.
//!
//! A page is made on a thread beside the server's: it looks into the state of everything, and may read indexes from the
//! disk. Who may look at jobs may scrape.

use crate::reply::Reply;
use broker::Broker;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use metrics::{Family, Format, Page, Table, Value, counter, gauge};
use os::Os;
use os::process::Usage;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const PATH: &str = "/metrics";

/// The series of one kind of thing on a page without a broker, whose settings would say.
const SERIES_MAX: usize = 1_000;

/// What the HTTP server counts of itself.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    pushed_out: AtomicU64,
    /// By status.
    answers: Mutex<BTreeMap<u16, u64>>,
}

impl Counters {
    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn pushed_out(&self) {
        self.pushed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, status: u16) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }
}

const BUILD: Table<()> = Table {
    labels: &["version"],
    rows: &[gauge("eventwright_build_info", "Always 1; the label has the version.", |()| {
        Some(Value::Count(1))
    })],
};

const PROCESS: Table<Usage> = Table {
    labels: &[],
    rows: &[
        counter(
            "process_cpu_seconds_total",
            "Time of processors, in user code and in the kernel.",
            |usage| Some(usage.cpu_seconds.into()),
        ),
        gauge("process_resident_memory_bytes", "Memory that is in use.", |usage| {
            Some(usage.resident_bytes.into())
        }),
        gauge("process_virtual_memory_bytes", "Memory that is mapped.", |usage| {
            Some(usage.virtual_bytes.into())
        }),
        gauge("process_open_fds", "Open files and sockets.", |usage| Some(usage.open_files.into())),
        gauge("process_max_fds", "The most files and sockets that may be open.", |usage| {
            usage.open_files_max.map(Value::Count)
        }),
        gauge("process_threads", "Threads.", |usage| Some(usage.threads.into())),
        gauge("process_start_time_seconds", "When the process was started, since the epoch.", |usage| {
            Some(usage.started_seconds.into())
        }),
    ],
};

const HTTP: Table<Counters> = Table {
    labels: &[],
    rows: &[
        gauge("eventwright_http_connections", "Open connections of the HTTP port.", |http| {
            // In this order, so that there are never fewer opened than closed.
            let closed = http.closed.load(Ordering::Relaxed);
            Some(http.opened.load(Ordering::Relaxed).saturating_sub(closed).into())
        }),
        counter("eventwright_http_connections_opened_total", "Connections that were accepted.", |http| {
            Some(http.opened.load(Ordering::Relaxed).into())
        }),
        counter(
            "eventwright_http_connections_refused_total",
            "Connections for which there was no room, since all that were there were being served.",
            |http| Some(http.refused.load(Ordering::Relaxed).into()),
        ),
        counter(
            "eventwright_http_connections_pushed_out_total",
            "Connections that waited for a request, or with one for its turn, and made room for others.",
            |http| Some(http.pushed_out.load(Ordering::Relaxed).into()),
        ),
    ],
};

const ANSWERS: Table<u64> = Table {
    labels: &["code"],
    rows: &[counter("eventwright_http_requests_total", "Requests that were answered, by status.", |times| {
        Some((*times).into())
    })],
};

/// The page about itself.
struct Made {
    left_out: u64,
    seconds: f64,
}

const PAGE: Table<Made> = Table {
    labels: &[],
    rows: &[
        gauge(
            "eventwright_metrics_left_out_values",
            "Values of topics, partitions and groups that this page neither shows nor sums up, because \
             metrics.series.max is reached.",
            |page| Some(page.left_out.into()),
        ),
        gauge("eventwright_metrics_page_seconds", "How long it took to put this page together.", |page| {
            Some(page.seconds.into())
        }),
    ],
};

/// Everything that a node measures, in the order of the page.
pub fn metric_families() -> Vec<Family> {
    let mut families: Vec<Family> = BUILD.families().chain(PROCESS.families()).collect();
    families.extend(eventlog::metric_families());
    families.extend(broker::metric_families());
    families.extend(runtime::metric_families());
    families.extend(traces::metric_families());
    families.extend(HTTP.families().chain(ANSWERS.families()).chain(PAGE.families()));
    families
}

/// Whether a request asks for the page.
pub(crate) fn is_meant(head: &Parts) -> bool {
    head.uri.path() == PATH && (head.method == Method::GET || head.method == Method::HEAD)
}

pub(crate) async fn answer(sources: Sources, head: &Parts) -> Response<Full<Bytes>> {
    let accept = head.headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(&accept.collect::<Vec<_>>().join(","));
    let Ok(page) = tokio::task::spawn_blocking(move || sources.page(format)).await else {
        let message = "the metrics could not be put together";
        return Reply::error(StatusCode::INTERNAL_SERVER_ERROR, message).into_response();
    };
    let mut response = Response::new(Full::new(Bytes::from(page)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Names of topics and jobs are others' words: a browser must not take them for a page.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What a page is made of.
#[derive(Clone)]
pub(crate) struct Sources {
    pub os: Os,
    pub version: String,
    pub broker: Option<Arc<Broker>>,
    pub runtime: Arc<runtime::Runtime>,
    pub http: Arc<Counters>,
    pub also_measured: Arc<dyn Fn(&mut Page) + Send + Sync>,
}

impl Sources {
    pub(crate) fn page(&self, format: Format) -> String {
        let begun_ns = self.os.clock.monotonic_ns();
        let most = self.broker.as_ref().map_or(SERIES_MAX, |broker| broker.config().metric_series_max);
        let mut page = Page::new(format, most);
        page.table(&BUILD, &[(vec![self.version.clone()], ())]);
        if let Some(usage) = Usage::of_this_process() {
            page.one(&PROCESS, &usage);
        }
        if let Some(broker) = &self.broker {
            broker.write_metrics(&mut page);
        }
        self.runtime.write_metrics(&mut page);
        if let Some(broker) = &self.broker {
            broker.tracer().write_metrics(&mut page);
        }
        (self.also_measured)(&mut page);
        page.one(&HTTP, &*self.http);
        let answers = self.http.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answers: Vec<(Vec<String>, u64)> =
            answers.into_iter().map(|(code, times)| (vec![code.to_string()], times)).collect();
        page.table(&ANSWERS, &answers);
        let seconds = self.os.clock.monotonic_ns().saturating_sub(begun_ns) as f64 / 1e9;
        let made = Made { left_out: page.left_out(), seconds };
        page.one(&PAGE, &made);
        page.finish()
    }
}
