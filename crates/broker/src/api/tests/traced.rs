//! Spans for what is produced: of records that carry a sampled context, whatever their batch is compressed with.

use crate::testing::Node;
use kafka_wire::records::{BatchBuilder, Compression};
use std::time::Duration;
use traces::{Attribute, Sampler, SpanId, TraceContext, TraceId, Tracer};

const LONG: Duration = Duration::from_secs(60);
const NOW: i64 = 1_700_000_000_000;

fn context(trace: u8, sampled: bool) -> TraceContext {
    TraceContext { trace: TraceId([trace; 16]), span: SpanId([9; 8]), sampled, state: None }
}

/// A record for each context, and one that has no headers.
fn batch(compression: Compression, contexts: &[TraceContext]) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(compression);
    builder.append(NOW, None, Some(b"plain"), &[]).unwrap();
    for context in contexts {
        let parent = context.to_string();
        builder.append(NOW, None, Some(b"x"), &[("traceparent", Some(parent.as_bytes()))]).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn each_sampled_context_of_a_batch_has_a_span_when_the_batch_is_durable() {
    let node = Node::new();
    let (tracer, collected) = Tracer::collecting(&node.sim.os(), Sampler::default());
    let node = node.traced(tracer);
    node.create_topic("orders", 2, &[]);
    let contexts = [context(1, true), context(2, false), context(3, true), context(1, true)];
    for (round, compression) in (0..).zip([
        Compression::None,
        Compression::Lz4,
        Compression::Zstd,
        Compression::Snappy,
        Compression::Gzip,
    ]) {
        let answer = node.produce("orders", 1, batch(compression, &contexts));
        assert_eq!((answer.error_code, answer.base_offset), (0, round * 5));
        let spans = collected.take(2, LONG);
        let shown: Vec<_> = spans
            .iter()
            .map(|span| (span.name.as_str(), span.context.trace.0[0], span.parent, span.attributes.clone()))
            .collect();
        assert_eq!(shown.len(), 2, "{compression:?}");
        for ((name, trace, parent, attributes), (wanted, offset, count)) in
            shown.into_iter().zip([(1, 1, 2), (3, 3, 1)])
        {
            assert_eq!((name, trace, parent), ("append orders", wanted, Some(SpanId([9; 8]))));
            let has = |name, value| attributes.contains(&(name, Attribute::Number(value)));
            assert!(has("messaging.kafka.offset", round * 5 + offset), "{attributes:?}");
            assert!(has("messaging.batch.message_count", count), "{attributes:?}");
        }
    }
    // Nothing to be seen, and nothing that goes into the log makes a span.
    node.produce("orders", 0, batch(Compression::None, &[]));
    node.produce("orders", 0, batch(Compression::None, &[context(4, false)]));
    node.produce("orders", 0, batch(Compression::None, &[context(5, true)]));
    let spans = collected.take(1, LONG);
    assert_eq!(spans.iter().map(|span| span.context.trace.0[0]).collect::<Vec<_>>(), [5]);
}
