-- A topic of orders into a warehouse: Parquet files by day, and each shop's turnover of a day in PostgreSQL.
CREATE TABLE incoming (id BIGINT, shop STRING, price DECIMAL(8, 2), ordered TIMESTAMP(3))
WITH ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');

-- Without 'scan.bounded.mode' it goes on for ever.
CREATE TABLE orders (id BIGINT, shop STRING, price DECIMAL(8, 2), ordered TIMESTAMP(3))
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset',
      'scan.bounded.mode' = 'latest-offset');

-- Or 's3://BUCKET/orders', or MinIO's with 's3.endpoint'.
CREATE TABLE archive (id BIGINT, shop STRING, price DECIMAL(8, 2), ordered TIMESTAMP(3), `day` STRING)
PARTITIONED BY (`day`)
WITH (
  'connector' = 'filesystem', 'path' = 'archive/orders', 'format' = 'parquet',
  -- A file is finished, and there for readers, when it is as large or as old as this.
  'sink.rolling-policy.file-size' = '128 mb', 'sink.rolling-policy.rollover-interval' = '10 min'
);

CREATE TABLE turnover (shop STRING, `day` DATE, orders BIGINT, turnover DECIMAL(10, 2), PRIMARY KEY (shop, `day`) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'turnover', 'username' = '${WHO}', 'password' = '${PASSWORD}');

SET 'table.dml-sync' = 'true';
-- Somebody has to put orders into the topic.
INSERT INTO orders SELECT * FROM incoming;

-- One job: the topic is read once.
EXECUTE STATEMENT SET BEGIN
INSERT INTO archive SELECT id, shop, price, ordered, DATE_FORMAT(ordered, 'yyyy-MM-dd') FROM orders;
INSERT INTO turnover
  SELECT shop, CAST(ordered AS DATE), COUNT(*), CAST(SUM(price) AS DECIMAL(10, 2)) FROM orders GROUP BY shop, CAST(ordered AS DATE);
END;
