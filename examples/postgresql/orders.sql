-- A topic of orders into two tables of PostgreSQL: each order appended, and one row for each shop that is kept up to date.
CREATE TABLE incoming (id BIGINT, shop STRING, price DECIMAL(8, 2), ordered TIMESTAMP(3), pieces INT)
WITH ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');

-- Without 'scan.bounded.mode' it goes on for ever.
CREATE TABLE orders (id BIGINT, shop STRING, price DECIMAL(8, 2), ordered TIMESTAMP(3), pieces INT)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset',
      'scan.bounded.mode' = 'latest-offset');

CREATE TABLE order_rows (id BIGINT, shop STRING, price DECIMAL(8, 2), ordered TIMESTAMP(3), tags ARRAY<STRING>, details STRING)
WITH (
  'connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'orders', 'username' = '${WHO}', 'password' = '${PASSWORD}',
  -- A transaction for so many rows, or after so long.
  'sink.buffer-flush.max-rows' = '1000', 'sink.buffer-flush.interval' = '200 ms',
  -- What the database refuses does not hold up the others.
  'dead-letter.topic' = 'orders-refused'
);

CREATE TABLE totals (shop STRING, orders BIGINT, turnover DECIMAL(10, 2), latest TIMESTAMP(3), PRIMARY KEY (shop) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'totals', 'username' = '${WHO}', 'password' = '${PASSWORD}');

SET 'table.dml-sync' = 'true';
INSERT INTO orders SELECT * FROM incoming;

INSERT INTO order_rows
SELECT id, shop, price, ordered, ARRAY[shop, 'new'], JSON_OBJECT('pieces' VALUE pieces) FROM orders;

INSERT INTO totals
SELECT shop, COUNT(*), CAST(SUM(price) AS DECIMAL(10, 2)), MAX(ordered) FROM orders GROUP BY shop;
