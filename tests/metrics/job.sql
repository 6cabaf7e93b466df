-- The jobs whose metrics the stage `metrics` of the tests looks at: a source with dead letters, windows, an outside sink, and
-- a view.
CREATE TABLE orders (
  id BIGINT,
  customer STRING,
  amount BIGINT,
  placed TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
  WATERMARK FOR placed AS placed - INTERVAL '1' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'orders',
  'scan.startup.mode' = 'earliest-offset',
  'dead-letter.topic' = 'orders-rejected',
  'format' = 'json'
);

CREATE TABLE sums (
  customer STRING,
  until_time TIMESTAMP(3),
  total BIGINT
) WITH (
  'connector' = 'kafka',
  'topic' = 'sums',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json'
);

CREATE TABLE copies (
  id BIGINT,
  customer STRING,
  amount BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'copies',
  'format' = 'csv'
);

SET 'pipeline.name' = 'sums';

INSERT INTO sums
SELECT customer, window_end, SUM(amount)
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(placed), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, customer;

SET 'pipeline.name' = 'copies';

INSERT INTO copies SELECT id, customer, amount FROM orders;

SET 'pipeline.name' = 'customers';

CREATE MATERIALIZED TABLE customers AS SELECT customer, SUM(total) AS total FROM sums GROUP BY customer;
