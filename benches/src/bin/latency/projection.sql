-- A filter and a projection, row by row.
CREATE TABLE events (id BIGINT, kind STRING, amount INT) WITH (
  'connector' = 'kafka', 'topic' = 'events', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset',
  'properties.group.id' = 'latency', 'properties.isolation.level' = 'read_committed'
);
CREATE TABLE results (id BIGINT, kind STRING, doubled INT) WITH (
  'connector' = 'kafka', 'topic' = 'results', 'format' = 'json', 'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'latency', 'properties.transaction.timeout.ms' = '600000'
);
INSERT INTO results SELECT id, kind, amount * 2 FROM events WHERE amount >= 0;
