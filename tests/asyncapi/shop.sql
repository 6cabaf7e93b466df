CREATE TABLE orders (
  id BIGINT NOT NULL COMMENT 'which order',
  city STRING,
  total DECIMAL(10, 2),
  items ARRAY<ROW<sku STRING, quantity INT>>,
  labels MAP<STRING, STRING>,
  photo BYTES,
  ordered DATE,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset');

CREATE TABLE totals (city STRING, total DECIMAL(38, 2), PRIMARY KEY (city) NOT ENFORCED) WITH (
  'connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json', 'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY');

INSERT INTO totals SELECT city, SUM(total) FROM orders GROUP BY city;
