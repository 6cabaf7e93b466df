//! What observability sends: OTLP in both forms, and remote-write in both versions.

use formats::telemetry::remote_write::{Version, Written, read as read_samples, write};
use formats::telemetry::{Limits, Signal};

const SIGNALS: [Signal; 3] = [Signal::Logs, Signal::Metrics, Signal::Spans];
const VERSIONS: [Version; 2] = [Version::V1, Version::V2];
const LIMITS: Limits = Limits { parts: 1000, bytes: 1 << 20 };

/// The bytes from here on say what comes.
pub const FIRST: u8 = u8::MAX - 7;

/// A signal as Protobuf, one as JSON, or a version of remote-write.
pub fn read(kind: u8, rest: &[u8]) {
    match usize::from(kind % 8) {
        kind @ 0..3 => {
            protobuf(SIGNALS[kind], rest);
        }
        kind @ 3..6 => {
            if let Ok(message) = SIGNALS[kind - 3].of_json(rest) {
                let known = protobuf(SIGNALS[kind - 3], &message);
                assert!(known, "what was made of JSON is OTLP");
            }
        }
        kind => samples(VERSIONS[kind - 6], rest),
    }
}

/// Whether it is OTLP.
fn protobuf(signal: Signal, message: &[u8]) -> bool {
    let Ok(json) = signal.to_json(message) else { return false };
    let again = signal.of_json(&json).expect("what was written is read");
    assert_eq!(signal.to_json(&again).as_deref(), Ok(json.as_slice()));
    if let Ok(parts) = signal.split(message, LIMITS) {
        for part in parts {
            signal.to_json(&part.message).expect("a part of OTLP is OTLP");
            let alone = signal.split(&part.message, LIMITS).expect("a part is small");
            assert_eq!(alone, [part]);
        }
    }
    true
}

fn samples(version: Version, message: &[u8]) {
    let mut series = Vec::new();
    let read = read_samples(version, message, &mut |sample| {
        assert!(str::from_utf8(&sample.to_json()).is_ok() && !sample.key().is_empty());
        let labels = sample.labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let samples = vec![(sample.value, sample.timestamp_ms)];
        series.push(Written { labels: labels.collect(), samples });
        Ok(())
    });
    if read.is_err() {
        return;
    }
    let mut count = 0;
    let again = read_samples(Version::V1, &write(&series), &mut |sample| {
        let Written { labels, samples } = &series[count];
        assert!(
            labels
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .eq(sample.labels.iter().copied())
        );
        assert_eq!((sample.value.to_bits(), sample.timestamp_ms), (samples[0].0.to_bits(), samples[0].1));
        count += 1;
        Ok(())
    });
    assert_eq!(again.map(|counts| counts.samples), Ok(series.len()));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = kinds();
    seeds.iter_mut().for_each(|seed| seed[0] += FIRST);
    seeds
}

fn kinds() -> Vec<Vec<u8>> {
    let json = [
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},"scopeLogs":[{"scope":{"name":"n"},"logRecords":[{"timeUnixNano":"1","severityNumber":9,"body":{"kvlistValue":{"values":[{"key":"k","value":{"arrayValue":{"values":[{"doubleValue":1.5},{"bytesValue":"AA=="}]}}}]}},"traceId":"0102"},{}]}]}]}"#,
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","sum":{"dataPoints":[{"asInt":"-1"},{"asDouble":"NaN"}],"aggregationTemporality":2}},{"histogram":{"dataPoints":[{"bucketCounts":["1","2"],"explicitBounds":[0.5],"exemplars":[{"asInt":"1"}]}]}},{"exponentialHistogram":{"dataPoints":[{"scale":-1,"positive":{"offset":1,"bucketCounts":[3]}}]}}]}]}]}"#,
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01","spanId":"02","kind":2,"events":[{"name":"e"}],"links":[{}],"status":{"code":2}}]}],"schemaUrl":"u"}]}"#,
    ];
    let of_json = |(index, json): (usize, &&str)| [&[index as u8 + 3], json.as_bytes()].concat();
    let protobuf = SIGNALS.into_iter().zip(json).enumerate().map(|(index, (signal, json))| {
        [vec![index as u8], signal.of_json(json.as_bytes()).expect("a seed")].concat()
    });
    let labels = vec![("__name__".to_owned(), "up".to_owned()), ("job".to_owned(), "j".to_owned())];
    let v1 = write(&[Written { labels, samples: vec![(1.0, 5), (f64::NAN, -5)] }]);
    let v2 = b"\x22\x00\x22\x08__name__\x22\x02up\x2a\x11\x0a\x02\x01\x02\x12\x0b\x09\x00\x00\x00\x00\x00\x00\x00\x00\x10\x05";
    let mut seeds: Vec<Vec<u8>> = json.iter().enumerate().map(of_json).chain(protobuf).collect();
    seeds.extend([[vec![6], v1].concat(), [vec![7], v2.to_vec()].concat()]);
    seeds
}
