//! Contexts, sampling, settings, and the exporter before a collector that fails in every way.

use crate::context::{TraceContext, of_headers};
use crate::exporter::Exporter;
use crate::otlp;
use crate::sampler::Sampler;
use crate::settings::{Given, TraceSettings};
use crate::span::{Kind, LINKS_MAX, Span};
use crate::tracer::{Tracer, WAITING_SPANS_MAX};
use crate::{SpanId, TraceId};
use metrics::Page;
use os::Os;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const LONG: Duration = Duration::from_secs(60);

fn context(span: u8) -> TraceContext {
    TraceContext { trace: TraceId([7; 16]), span: SpanId([span; 8]), sampled: true, state: None }
}

#[test]
fn parents_are_read_as_the_w3c_has_them_and_written_again() {
    let read = TraceContext::parse(PARENT.as_bytes()).unwrap();
    assert!(read.sampled);
    assert_eq!(read.to_string(), PARENT);
    let later = format!("{}-more", PARENT.replacen("00", "cc", 1));
    assert_eq!(TraceContext::parse(later.as_bytes()).unwrap().to_string(), PARENT);
    assert!(!TraceContext::parse(PARENT.replace("-01", "-00").as_bytes()).unwrap().sampled);
    let upper = PARENT.to_uppercase();
    let no_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    let no_span = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
    let forbidden = PARENT.replacen("00", "ff", 1);
    let longer = format!("{PARENT}-more");
    let glued = format!("{}x", PARENT.replacen("00", "01", 1));
    let broken = PARENT.replace('7', "é");
    for wrong in ["", "00", &PARENT[..54], &upper, &no_trace, &no_span, &forbidden, &longer, &glued, &broken]
    {
        assert_eq!(TraceContext::parse(wrong.as_bytes()), None, "{wrong}");
    }
}

#[test]
fn of_several_headers_the_last_one_counts_and_a_state_is_bounded() {
    let other = PARENT.replace("31-01", "32-00");
    let headers: [(&[u8], Option<&[u8]>); 4] = [
        (b"traceparent", Some(PARENT.as_bytes())),
        (b"tracestate", Some(b"a=1")),
        (b"x", None),
        (b"traceparent", Some(other.as_bytes())),
    ];
    let found = of_headers(headers.into_iter()).unwrap();
    assert_eq!((found.to_string(), found.state.as_deref()), (other.clone(), Some("a=1")));
    assert_eq!(of_headers(headers[1..3].iter().copied()), None);
    for dropped in ["".to_string(), "a=ü".into(), "a".repeat(513)] {
        assert_eq!(context(1).with_state(Some(dropped.as_bytes())).state, None);
    }
}

#[test]
fn the_parent_decides_first_and_the_id_then() {
    let trace = |low: u64| {
        let mut id = [1; 16];
        id[8..].copy_from_slice(&low.to_be_bytes());
        TraceId(id)
    };
    let half = Sampler::named("parentbased_traceidratio", Some("0.5")).unwrap();
    assert!(half.keeps(trace(u64::MAX / 2 - 1), None) && !half.keeps(trace(u64::MAX), None));
    assert!(half.keeps(trace(u64::MAX), Some(true)) && !half.keeps(trace(1), Some(false)));
    assert!(!Sampler::named("always_off", None).unwrap().keeps(trace(0), Some(true)));
    assert!(Sampler::named("always_on", None).unwrap().keeps(trace(u64::MAX), Some(false)));
    assert!(Sampler::default().keeps(trace(u64::MAX), None));
    for wrong in ["2", "-0.1", "NaN", "x"] {
        assert!(Sampler::named("traceidratio", Some(wrong)).unwrap_err().contains("from 0 to 1"), "{wrong}");
    }
    assert!(Sampler::named("jaeger_remote", None).unwrap_err().contains("always_on"));
}

fn settings(given: Given, variables: &[(&str, &str)]) -> Result<Option<TraceSettings>, String> {
    let known: Vec<(String, String)> =
        variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let variable =
        move |name: &str| known.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    TraceSettings::read(given, &variable).map_err(|error| error.to_string())
}

#[test]
fn settings_come_from_the_command_line_then_from_opentelemetrys_variables() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
    assert!(settings(Given::default(), &[]).unwrap().is_none());
    assert!(settings(Given::default(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().is_none());
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        assert!(settings(Given::default(), &[base, off]).unwrap().is_none());
    }
    let all = [
        base,
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b, x-other=c"),
        ("OTEL_SERVICE_NAME", "orders"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment=test"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
    ];
    let read = settings(Given::default(), &all).unwrap().unwrap();
    assert_eq!(read.endpoint(), "http://collector:4318/v1/traces");
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    assert_eq!(read.headers, [pair("x-key", "a b"), pair("x-other", "c")]);
    assert_eq!(read.resource, [pair("service.name", "orders"), pair("deployment.environment", "test")]);
    assert_eq!(read.sampler, Sampler { ratio: 0.25, follows_parent: false });
    assert_eq!(read.timeout, Duration::from_millis(1500));
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/ingest");
    assert_eq!(
        settings(Given::default(), &[base, own]).unwrap().unwrap().endpoint(),
        "https://other:443/ingest"
    );
    let given = Given {
        endpoint: Some("http://127.0.0.1:1".into()),
        headers: Some([("a".to_string(), "b".to_string())].into()),
        service: Some("mine".into()),
        ratio: Some("0.1".into()),
    };
    let read = settings(given, &all).unwrap().unwrap();
    assert_eq!(read.endpoint(), "http://127.0.0.1:1/v1/traces");
    assert_eq!((read.headers, &read.resource[0]), (vec![pair("a", "b")], &pair("service.name", "mine")));
    assert_eq!(read.sampler, Sampler { ratio: 0.1, follows_parent: true });
    assert_eq!(settings(Given::default(), &[base]).unwrap().unwrap().resource[0].1, "eventwright");
    for (variable, words) in [
        (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "http/protobuf"),
        (("OTEL_EXPORTER_OTLP_HEADERS", "secret"), "NAME=VALUE"),
        (("OTEL_EXPORTER_OTLP_TIMEOUT", "0"), "milliseconds"),
        (("OTEL_TRACES_SAMPLER", "x"), "no sampler"),
        (("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"), "https://HOST"),
    ] {
        let error = settings(Given::default(), &[base, variable]).err().unwrap();
        assert!(error.starts_with(variable.0) && error.contains(words), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_request_has_what_the_protocol_asks_for() {
    let links = (0..LINKS_MAX as u8 + 3).map(context);
    let span = Span::new(context(1).with_state(Some(b"a=1")), "send orders", Kind::Producer)
        .under(Some(SpanId([9; 8])))
        .lasting(5, 3)
        .with("messaging.batch.message_count", 0)
        .linked(links)
        .failed("no");
    assert_eq!((span.links.len(), span.links_left_out, span.end_ns), (LINKS_MAX, 3, 5));
    let bytes = otlp::encode(&[("service.name".into(), "s".into())], "1", &[span]);
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    for part in [
        &[0x0a, 16, 7, 7][..],
        &[0x22, 8, 9, 9],
        b"\x2a\x0bsend orders\x30\x04\x39\x05",
        // An attribute of zero is there.
        b"message_count\x12\x02\x18\x00",
        &[0x70, 3],
        b"\x7a\x06\x12\x02no\x18\x02\x85\x01\x01\0\0\0",
    ] {
        assert!(holds(part), "{part:?}");
    }
}

#[test]
fn an_answer_says_how_many_were_refused_and_nonsense_says_nothing() {
    assert_eq!(otlp::refused(&[]), 0);
    assert_eq!(otlp::refused(b"\x0a\x06\x08\xac\x02\x12\x01x"), 300);
    for nonsense in [
        &b"\x0a\xff"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0a\x02\x08",
        b"{}",
        b"\x0d\x01",
    ] {
        assert_eq!(otlp::refused(nonsense), 0, "{nonsense:?}");
    }
}

fn measured(tracer: &Tracer, name: &str) -> f64 {
    let mut page = Page::new(metrics::Format::Prometheus, 10);
    tracer.write_metrics(&mut page);
    let page = page.finish();
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {page}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// A collector that gives these answers, one for each request, and tells of the requests.
fn collector(answers: Vec<&'static str>) -> (String, Receiver<Vec<u8>>) {
    let listener = Os::real().network.listen("127.0.0.1:0").unwrap();
    let address = listener.address();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let stream = listener.accept().unwrap();
            let (mut request, mut chunk) = (Vec::new(), vec![0; 65536]);
            let is_whole = |request: &[u8]| {
                let text = String::from_utf8_lossy(request).into_owned();
                let Some(head) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
                    return false;
                };
                let length = text.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap();
                request.len() >= head + 4 + length.parse::<usize>().unwrap()
            };
            while !is_whole(&request) {
                let count = stream.read(&mut chunk).unwrap();
                assert!(count > 0);
                request.extend_from_slice(&chunk[..count]);
            }
            stream.write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
            sender.send(request).unwrap();
        }
    });
    (address, requests)
}

#[test]
fn a_collector_that_never_answers_holds_nobody_up() {
    // The kernel takes connections, and nobody reads from them.
    let listener = Os::real().network.listen("127.0.0.1:0").unwrap();
    let (exporter, said) = exporter_of(&listener.address(), "300");
    let tracer = exporter.tracer();
    for _ in 0..WAITING_SPANS_MAX {
        tracer.record(Span::new(context(1), "one", Kind::Internal));
    }
    exporter.stop();
    // One request in vain, and perhaps one that was under way; not one for each of 16 batches.
    let count = |name: &str| measured(&tracer, name);
    assert!(count("eventwright_traces_failed_requests_total") <= 2.0);
    assert_eq!(count("eventwright_traces_dropped_spans_total"), WAITING_SPANS_MAX as f64);
    assert_eq!(count("eventwright_traces_waiting_spans"), 0.0);
    assert_eq!(said.lock().unwrap().len(), 1);
}

#[test]
fn a_request_that_hangs_is_not_waited_for() {
    let listener = Os::real().network.listen("127.0.0.1:0").unwrap();
    let (exporter, _) = exporter_of(&listener.address(), "600000");
    exporter.tracer().record(Span::new(context(1), "one", Kind::Internal));
    let clock = Os::real().clock;
    let begin_ns = clock.monotonic_ns();
    exporter.stop();
    assert!(clock.monotonic_ns() - begin_ns < LONG.as_nanos() as u64);
}

#[test]
fn an_answer_that_trickles_ends_with_the_time_of_the_request() {
    let listener = Os::real().network.listen("127.0.0.1:0").unwrap();
    let (exporter, said) = exporter_of(&listener.address(), "300");
    let tracer = exporter.tracer();
    tracer.record(Span::new(context(1), "one", Kind::Internal));
    let trickle = std::thread::spawn(move || {
        let stream = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        // A byte of a long head now and then, until the other side goes away.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        let mut chunk = vec![0; 65536];
        while stream.write_all(b"x").is_ok() {
            if matches!(stream.read(&mut chunk), Ok(0)) {
                break;
            }
        }
    });
    exporter.stop();
    trickle.join().unwrap();
    assert_eq!(measured(&tracer, "eventwright_traces_dropped_spans_total"), 1.0);
    assert!(said.lock().unwrap()[0].contains("in time"));
}

fn exporter(address: &str) -> (Exporter, Arc<Mutex<Vec<String>>>) {
    exporter_of(address, "10000")
}

fn exporter_of(address: &str, timeout_ms: &str) -> (Exporter, Arc<Mutex<Vec<String>>>) {
    let given = Given { endpoint: Some(format!("http://{address}")), ..Given::default() };
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=very%20hidden"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", timeout_ms),
    ];
    let settings = settings(given, &variables).unwrap().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let into = said.clone();
    let tell = Arc::new(move |line: &str| into.lock().unwrap().push(line.to_string()));
    (Exporter::start(&Os::real(), settings, "1", tell).unwrap(), said)
}

#[test]
fn a_busy_collector_is_asked_again_and_gets_everything() {
    let (address, requests) = collector(vec!["503 Busy", "200 OK"]);
    let (exporter, said) = exporter(&address);
    let tracer = exporter.tracer();
    tracer.record(Span::new(context(1), "one", Kind::Internal));
    tracer.record(Span::new(TraceContext { sampled: false, ..context(2) }, "two", Kind::Internal));
    for _ in 0..2 {
        let request = requests.recv_timeout(LONG).unwrap();
        let text = String::from_utf8_lossy(&request);
        assert!(text.starts_with("POST /v1/traces HTTP/1.1") && text.contains("authorization: very hidden"));
        assert!(text.contains("one") && !text.contains("two"));
    }
    exporter.stop();
    assert_eq!(measured(&tracer, "eventwright_traces_spans_total"), 1.0);
    assert_eq!(measured(&tracer, "eventwright_traces_exported_spans_total"), 1.0);
    assert_eq!(measured(&tracer, "eventwright_traces_failed_requests_total"), 1.0);
    let said = said.lock().unwrap();
    assert!(said.len() == 2 && said[0].contains("503") && said[1].contains("again"), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("hidden")));
}

#[test]
fn what_a_collector_refuses_is_counted_and_said() {
    let (address, requests) = collector(vec!["400 Bad"]);
    let (exporter, said) = exporter(&address);
    let tracer = exporter.tracer();
    tracer.record(Span::new(context(1), "one", Kind::Internal));
    requests.recv_timeout(LONG).unwrap();
    exporter.stop();
    assert_eq!(measured(&tracer, "eventwright_traces_refused_spans_total"), 1.0);
    assert!(said.lock().unwrap()[0].contains("400"));
}

#[test]
fn without_a_collector_nobody_waits_and_what_has_no_room_is_counted() {
    // Nobody listens there: the port was free a moment ago.
    let address = Os::real().network.listen("127.0.0.1:0").unwrap().address();
    let (exporter, said) = exporter(&address);
    let tracer = exporter.tracer();
    let count = WAITING_SPANS_MAX as u64 * 3;
    for _ in 0..count {
        tracer.record(Span::new(context(1), "one", Kind::Internal));
    }
    exporter.stop();
    assert_eq!(measured(&tracer, "eventwright_traces_spans_total"), count as f64);
    assert_eq!(measured(&tracer, "eventwright_traces_dropped_spans_total"), count as f64);
    assert_eq!(measured(&tracer, "eventwright_traces_waiting_spans"), 0.0);
    assert_eq!(said.lock().unwrap().len(), 1);
}

#[test]
fn a_tracer_that_is_off_makes_nothing() {
    let tracer = Tracer::off();
    assert!(!tracer.is_on() && tracer.begin(None).is_none() && tracer.now_ns() == 0);
    tracer.record(Span::new(context(1), "one", Kind::Internal));
    assert_eq!(measured(&tracer, "eventwright_traces_spans_total"), 0.0);
    let (tracer, collected) = Tracer::collecting(&Os::real(), Sampler::default());
    let root = tracer.begin(None).unwrap();
    let child = tracer.begin(Some(&root)).unwrap();
    assert!(root.sampled && child.trace == root.trace && child.span != root.span);
    tracer.record(Span::new(child.clone(), "one", Kind::Internal).under(Some(root.span)));
    assert_eq!(collected.take(1, LONG)[0].context, child);
}
