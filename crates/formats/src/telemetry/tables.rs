//! The messages of OTLP 1 (opentelemetry-proto, `collector/*/v1`): numbers, names in JSON, and kinds of their fields.

use super::Signal;
use Kind::{
    Base64, Bool, Double, Enum, Fixed32, Fixed64, Hex, Int64, Sfixed64, Sint32, Text, Uint32, Uint64,
};

pub(super) struct Message {
    pub fields: &'static [Field],
}

pub(super) struct Field {
    pub number: u32,
    pub name: &'static str,
    pub kind: Kind,
    pub repeated: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bool,
    /// JSON has its number, never its name.
    Enum,
    Uint32,
    Sint32,
    Fixed32,
    Int64,
    Uint64,
    Fixed64,
    Sfixed64,
    Double,
    Text,
    Base64,
    /// Ids of traces and spans, which OTLP's JSON has in hexadecimal digits.
    Hex,
    Of(&'static Message),
}

pub(super) fn of(signal: Signal) -> &'static Message {
    match signal {
        Signal::Logs => &LOGS,
        Signal::Metrics => &METRICS,
        Signal::Spans => &TRACES,
    }
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: false }
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: true }
}

const fn dropped(number: u32) -> Field {
    one(number, "droppedAttributesCount", Uint32)
}

const fn attributes(number: u32) -> Field {
    many(number, "attributes", Kind::Of(&KEY_VALUE))
}

const START: Field = one(2, "startTimeUnixNano", Fixed64);
const TIME: Field = one(3, "timeUnixNano", Fixed64);
const SCHEMA_URL: Field = one(3, "schemaUrl", Text);
const SCOPE_OF: Field = one(1, "scope", Kind::Of(&SCOPE));
const RESOURCE_OF: Field = one(1, "resource", Kind::Of(&RESOURCE));

static ANY_VALUE: Message = Message {
    fields: &[
        one(1, "stringValue", Text),
        one(2, "boolValue", Bool),
        one(3, "intValue", Int64),
        one(4, "doubleValue", Double),
        one(5, "arrayValue", Kind::Of(&ARRAY_VALUE)),
        one(6, "kvlistValue", Kind::Of(&KEY_VALUE_LIST)),
        one(7, "bytesValue", Base64),
    ],
};
static ARRAY_VALUE: Message = Message { fields: &[many(1, "values", Kind::Of(&ANY_VALUE))] };
static KEY_VALUE_LIST: Message = Message { fields: &[many(1, "values", Kind::Of(&KEY_VALUE))] };
static KEY_VALUE: Message = Message { fields: &[one(1, "key", Text), one(2, "value", Kind::Of(&ANY_VALUE))] };
static SCOPE: Message =
    Message { fields: &[one(1, "name", Text), one(2, "version", Text), attributes(3), dropped(4)] };
static RESOURCE: Message =
    Message { fields: &[attributes(1), dropped(2), many(3, "entityRefs", Kind::Of(&ENTITY_REF))] };
static ENTITY_REF: Message = Message {
    fields: &[
        one(1, "schemaUrl", Text),
        one(2, "type", Text),
        many(3, "idKeys", Text),
        many(4, "descriptionKeys", Text),
    ],
};

static LOGS: Message = Message { fields: &[many(1, "resourceLogs", Kind::Of(&RESOURCE_LOGS))] };
static RESOURCE_LOGS: Message =
    Message { fields: &[RESOURCE_OF, many(2, "scopeLogs", Kind::Of(&SCOPE_LOGS)), SCHEMA_URL] };
static SCOPE_LOGS: Message =
    Message { fields: &[SCOPE_OF, many(2, "logRecords", Kind::Of(&LOG_RECORD)), SCHEMA_URL] };
static LOG_RECORD: Message = Message {
    fields: &[
        one(1, "timeUnixNano", Fixed64),
        one(11, "observedTimeUnixNano", Fixed64),
        one(2, "severityNumber", Enum),
        one(3, "severityText", Text),
        one(12, "eventName", Text),
        one(5, "body", Kind::Of(&ANY_VALUE)),
        attributes(6),
        dropped(7),
        one(8, "flags", Fixed32),
        one(9, "traceId", Hex),
        one(10, "spanId", Hex),
    ],
};

static TRACES: Message = Message { fields: &[many(1, "resourceSpans", Kind::Of(&RESOURCE_SPANS))] };
static RESOURCE_SPANS: Message =
    Message { fields: &[RESOURCE_OF, many(2, "scopeSpans", Kind::Of(&SCOPE_SPANS)), SCHEMA_URL] };
static SCOPE_SPANS: Message = Message { fields: &[SCOPE_OF, many(2, "spans", Kind::Of(&SPAN)), SCHEMA_URL] };
static SPAN: Message = Message {
    fields: &[
        one(1, "traceId", Hex),
        one(2, "spanId", Hex),
        one(3, "traceState", Text),
        one(4, "parentSpanId", Hex),
        one(16, "flags", Fixed32),
        one(5, "name", Text),
        one(6, "kind", Enum),
        one(7, "startTimeUnixNano", Fixed64),
        one(8, "endTimeUnixNano", Fixed64),
        attributes(9),
        dropped(10),
        many(11, "events", Kind::Of(&SPAN_EVENT)),
        one(12, "droppedEventsCount", Uint32),
        many(13, "links", Kind::Of(&SPAN_LINK)),
        one(14, "droppedLinksCount", Uint32),
        one(15, "status", Kind::Of(&STATUS)),
    ],
};
static SPAN_EVENT: Message =
    Message { fields: &[one(1, "timeUnixNano", Fixed64), one(2, "name", Text), attributes(3), dropped(4)] };
static SPAN_LINK: Message = Message {
    fields: &[
        one(1, "traceId", Hex),
        one(2, "spanId", Hex),
        one(3, "traceState", Text),
        attributes(4),
        dropped(5),
        one(6, "flags", Fixed32),
    ],
};
static STATUS: Message = Message { fields: &[one(2, "message", Text), one(3, "code", Enum)] };

static METRICS: Message = Message { fields: &[many(1, "resourceMetrics", Kind::Of(&RESOURCE_METRICS))] };
static RESOURCE_METRICS: Message =
    Message { fields: &[RESOURCE_OF, many(2, "scopeMetrics", Kind::Of(&SCOPE_METRICS)), SCHEMA_URL] };
static SCOPE_METRICS: Message =
    Message { fields: &[SCOPE_OF, many(2, "metrics", Kind::Of(&METRIC)), SCHEMA_URL] };
static METRIC: Message = Message {
    fields: &[
        one(1, "name", Text),
        one(2, "description", Text),
        one(3, "unit", Text),
        one(5, "gauge", Kind::Of(&GAUGE)),
        one(7, "sum", Kind::Of(&SUM)),
        one(9, "histogram", Kind::Of(&HISTOGRAM)),
        one(10, "exponentialHistogram", Kind::Of(&EXPONENTIAL_HISTOGRAM)),
        one(11, "summary", Kind::Of(&SUMMARY)),
        many(12, "metadata", Kind::Of(&KEY_VALUE)),
    ],
};
const TEMPORALITY: Field = one(2, "aggregationTemporality", Enum);
static GAUGE: Message = Message { fields: &[many(1, "dataPoints", Kind::Of(&NUMBER_POINT))] };
static SUM: Message = Message {
    fields: &[many(1, "dataPoints", Kind::Of(&NUMBER_POINT)), TEMPORALITY, one(3, "isMonotonic", Bool)],
};
static HISTOGRAM: Message =
    Message { fields: &[many(1, "dataPoints", Kind::Of(&HISTOGRAM_POINT)), TEMPORALITY] };
static EXPONENTIAL_HISTOGRAM: Message =
    Message { fields: &[many(1, "dataPoints", Kind::Of(&EXPONENTIAL_POINT)), TEMPORALITY] };
static SUMMARY: Message = Message { fields: &[many(1, "dataPoints", Kind::Of(&SUMMARY_POINT))] };
static NUMBER_POINT: Message = Message {
    fields: &[
        attributes(7),
        START,
        TIME,
        one(4, "asDouble", Double),
        one(6, "asInt", Sfixed64),
        many(5, "exemplars", Kind::Of(&EXEMPLAR)),
        one(8, "flags", Uint32),
    ],
};
static HISTOGRAM_POINT: Message = Message {
    fields: &[
        attributes(9),
        START,
        TIME,
        one(4, "count", Fixed64),
        one(5, "sum", Double),
        many(6, "bucketCounts", Fixed64),
        many(7, "explicitBounds", Double),
        many(8, "exemplars", Kind::Of(&EXEMPLAR)),
        one(10, "flags", Uint32),
        one(11, "min", Double),
        one(12, "max", Double),
    ],
};
static EXPONENTIAL_POINT: Message = Message {
    fields: &[
        attributes(1),
        START,
        TIME,
        one(4, "count", Fixed64),
        one(5, "sum", Double),
        one(6, "scale", Sint32),
        one(7, "zeroCount", Fixed64),
        one(8, "positive", Kind::Of(&BUCKETS)),
        one(9, "negative", Kind::Of(&BUCKETS)),
        one(10, "flags", Uint32),
        many(11, "exemplars", Kind::Of(&EXEMPLAR)),
        one(12, "min", Double),
        one(13, "max", Double),
        one(14, "zeroThreshold", Double),
    ],
};
static BUCKETS: Message = Message { fields: &[one(1, "offset", Sint32), many(2, "bucketCounts", Uint64)] };
static SUMMARY_POINT: Message = Message {
    fields: &[
        attributes(7),
        START,
        TIME,
        one(4, "count", Fixed64),
        one(5, "sum", Double),
        many(6, "quantileValues", Kind::Of(&QUANTILE)),
        one(8, "flags", Uint32),
    ],
};
static QUANTILE: Message = Message { fields: &[one(1, "quantile", Double), one(2, "value", Double)] };
static EXEMPLAR: Message = Message {
    fields: &[
        many(7, "filteredAttributes", Kind::Of(&KEY_VALUE)),
        one(2, "timeUnixNano", Fixed64),
        one(3, "asDouble", Double),
        one(6, "asInt", Sfixed64),
        one(4, "spanId", Hex),
        one(5, "traceId", Hex),
    ],
};
