-- The jobs of the stage `observability`: they read what a real Prometheus and OpenTelemetry's SDK send.
CREATE TABLE samples (
  `timestamp` TIMESTAMP_LTZ(3),
  name STRING,
  `value` STRING,
  labels MAP<STRING, STRING>,
  WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '10' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'prometheus_samples',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json',
  'json.timestamp-format.standard' = 'ISO-8601'
);

CREATE TABLE spans (
  resourceSpans ARRAY<ROW<
    resource ROW<attributes ARRAY<ROW<key STRING, `value` ROW<stringValue STRING>>>>,
    scopeSpans ARRAY<ROW<spans ARRAY<ROW<traceId STRING, spanId STRING, name STRING, endTimeUnixNano BIGINT>>>>
  >>
) WITH (
  'connector' = 'kafka',
  'topic' = 'otlp_spans',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json'
);

CREATE TABLE logs (
  resourceLogs ARRAY<ROW<
    scopeLogs ARRAY<ROW<logRecords ARRAY<ROW<severityNumber INT, body ROW<stringValue STRING>, timeUnixNano BIGINT>>>>
  >>,
  service STRING
) WITH (
  'connector' = 'kafka',
  'topic' = 'otlp_logs',
  'scan.startup.mode' = 'earliest-offset',
  'key.format' = 'raw',
  'key.fields' = 'service',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TABLE metrics (
  resourceMetrics ARRAY<ROW<scopeMetrics ARRAY<ROW<metrics ARRAY<ROW<
    name STRING,
    `sum` ROW<dataPoints ARRAY<ROW<asInt BIGINT, timeUnixNano BIGINT>>>,
    histogram ROW<dataPoints ARRAY<ROW<`count` BIGINT, `sum` DOUBLE>>>
  >>>>>>,
  service STRING
) WITH (
  'connector' = 'kafka',
  'topic' = 'otlp_metrics',
  'scan.startup.mode' = 'earliest-offset',
  'key.format' = 'raw',
  'key.fields' = 'service',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TABLE found (
  kind STRING,
  name STRING,
  source STRING,
  amount DOUBLE,
  `at` TIMESTAMP_LTZ(3)
) WITH (
  'connector' = 'kafka',
  'topic' = 'found',
  'format' = 'json'
);

SET 'pipeline.name' = 'samples';

INSERT INTO found
SELECT 'sample', name, labels['instance'], TRY_CAST(`value` AS DOUBLE), `timestamp` FROM samples;

SET 'pipeline.name' = 'spans';

INSERT INTO found
SELECT
  'span',
  resourceSpans[1].scopeSpans[1].spans[1].name,
  attribute.`value`.stringValue,
  CHAR_LENGTH(resourceSpans[1].scopeSpans[1].spans[1].traceId),
  TO_TIMESTAMP_LTZ(resourceSpans[1].scopeSpans[1].spans[1].endTimeUnixNano / 1000000, 3)
FROM spans
CROSS JOIN UNNEST(resourceSpans[1].resource.attributes) AS attribute (key, `value`)
WHERE attribute.key = 'service.name';

SET 'pipeline.name' = 'logs';

INSERT INTO found
SELECT
  'log',
  resourceLogs[1].scopeLogs[1].logRecords[1].body.stringValue,
  service,
  resourceLogs[1].scopeLogs[1].logRecords[1].severityNumber,
  TO_TIMESTAMP_LTZ(resourceLogs[1].scopeLogs[1].logRecords[1].timeUnixNano / 1000000, 3)
FROM logs;

SET 'pipeline.name' = 'metrics';

INSERT INTO found
SELECT
  'point',
  resourceMetrics[1].scopeMetrics[1].metrics[1].name,
  service,
  COALESCE(
    CAST(resourceMetrics[1].scopeMetrics[1].metrics[1].`sum`.dataPoints[1].asInt AS DOUBLE),
    resourceMetrics[1].scopeMetrics[1].metrics[1].histogram.dataPoints[1].`sum`
  ),
  TO_TIMESTAMP_LTZ(resourceMetrics[1].scopeMetrics[1].metrics[1].`sum`.dataPoints[1].timeUnixNano / 1000000, 3)
FROM metrics;
