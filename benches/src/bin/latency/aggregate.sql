-- A row per key, kept up to date: how many events it had, and their sum.
CREATE TABLE events (id BIGINT, kind STRING, amount INT) WITH (
  'connector' = 'kafka', 'topic' = 'events', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset',
  'properties.group.id' = 'latency', 'properties.isolation.level' = 'read_committed'
);
CREATE TABLE results (kind STRING, n BIGINT, total BIGINT, PRIMARY KEY (kind) NOT ENFORCED) WITH (
  'connector' = 'upsert-kafka', 'topic' = 'results', 'key.format' = 'json', 'value.format' = 'json',
  'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'latency',
  'properties.transaction.timeout.ms' = '600000'
);
INSERT INTO results SELECT kind, COUNT(*), SUM(CAST(amount AS BIGINT)) FROM events GROUP BY kind;
