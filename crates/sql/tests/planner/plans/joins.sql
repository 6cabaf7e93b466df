-- Joins of all kinds, and sub-queries, which become joins.
CREATE TABLE orders (
  id BIGINT, customer BIGINT, price INT, ts TIMESTAMP(3), proc AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE customers (id BIGINT, name STRING, country STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'customers', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE countries (code STRING NOT NULL, name STRING) WITH ('connector' = 'filesystem', 'path' = 'countries', 'format' = 'csv');
CREATE TABLE shown (a BIGINT, b STRING) WITH ('connector' = 'print');
-- Both sides padded; a filter on one side stays above.
INSERT INTO shown SELECT o.id, c.name FROM orders AS o FULL JOIN customers AS c ON o.customer = c.id WHERE c.country = 'NO';
-- A table that is read first, looked up by each row; windows go on with the time of the stream.
INSERT INTO shown
SELECT COUNT(*), country FROM (
  SELECT o.*, n.name AS country FROM orders AS o LEFT JOIN countries FOR SYSTEM_TIME AS OF o.proc AS n
  ON CAST(o.customer AS STRING) = n.code AND n.name <> 'x'
) GROUP BY country, TUMBLE(ts, INTERVAL '1' MINUTE);
-- Semi and anti joins: names of around a sub-query, conditions of one side, and several of them.
INSERT INTO shown SELECT id, 'semi' FROM orders WHERE customer IN (SELECT id FROM customers WHERE country = 'NO') AND price > 3;
INSERT INTO shown SELECT id, 'anti' FROM orders AS o
WHERE NOT EXISTS (SELECT 1 FROM customers AS c WHERE c.id = o.customer AND c.name <> CAST(o.price AS STRING) AND c.country = 'NO');
INSERT INTO shown SELECT id, 'nested' FROM orders
WHERE customer IN (SELECT id FROM customers WHERE country IN (SELECT code FROM countries))
  AND NOT customer IN (SELECT MAX(customer) FROM orders GROUP BY price);
-- A value: a LEFT join with the one row of an aggregate.
INSERT INTO shown SELECT id, (SELECT MAX(name) FROM countries) FROM orders WHERE price > (SELECT AVG(price) FROM orders);
-- Interval joins, by ON and by WHERE; a window goes on with the time of a side that is not padded.
CREATE TABLE payments (order_id BIGINT, amount INT, paid TIMESTAMP(3), WATERMARK FOR paid AS paid - INTERVAL '1' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'payments', 'format' = 'json');
INSERT INTO shown SELECT COUNT(*), 'x' FROM (
  SELECT o.ts, p.amount FROM orders AS o LEFT JOIN payments AS p
  ON o.id = p.order_id AND p.paid BETWEEN o.ts - INTERVAL '1' MINUTE AND o.ts + INTERVAL '1' HOUR AND p.amount < o.price
) GROUP BY TUMBLE(ts, INTERVAL '1' DAY);
INSERT INTO shown SELECT o.id, 'paid' FROM orders AS o, payments AS p
WHERE o.id = p.order_id AND o.ts < p.paid AND o.ts + INTERVAL '5' SECOND >= p.paid AND p.amount > 3;
-- Of two inputs that end the right one is read first, or the one that a hint names; by hints of its own SELECT alone.
CREATE TABLE cities (code STRING, city STRING) WITH ('connector' = 'filesystem', 'path' = 'cities', 'format' = 'csv');
INSERT INTO shown SELECT 1, city FROM countries AS n JOIN cities AS c ON n.code = c.code;
INSERT INTO shown SELECT /*+ SHUFFLE_MERGE(c), BROADCAST(n) */ 2, city FROM countries AS n JOIN cities AS c ON n.code = c.code;
INSERT INTO shown SELECT /*+ shuffle_hash(n, c) */ 3, city FROM countries AS n, cities AS c WHERE n.code = c.code AND city > name;
INSERT INTO shown SELECT /*+ NEST_LOOP(n) */ 4, city FROM (SELECT c.code, city FROM countries AS n JOIN cities AS c ON n.code = c.code) AS n JOIN countries AS m ON n.code = m.code;
-- What cannot be read first stays the stream.
INSERT INTO shown SELECT /*+ BROADCAST(n) */ 5, city FROM countries AS n LEFT JOIN cities AS c ON n.code = c.code;
INSERT INTO shown SELECT /*+ BROADCAST(o) */ o.id, name FROM orders AS o JOIN countries AS n ON CAST(o.customer AS STRING) = n.code;
