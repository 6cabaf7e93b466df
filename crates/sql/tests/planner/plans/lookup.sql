-- Joins with tables that are asked for rows by key.
CREATE TABLE orders (id BIGINT, shop INT, price INT, ts TIMESTAMP(3), proc AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE shops (id BIGINT, city STRING, rating INT, weight AS rating * 10, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'database', 'url' = 'jdbc:sqlite:shop.db', 'table-name' = 'shops');
CREATE TABLE cached (id BIGINT, city STRING)
WITH ('connector' = 'database', 'url' = 'jdbc:sqlite:shop.db', 'table-name' = 'shops', 'lookup.cache' = 'PARTIAL');
CREATE TABLE shown (a BIGINT, b STRING) WITH ('connector' = 'print');
-- The key is cast on the side of the stream; what else the condition says is decided behind the answer.
INSERT INTO shown SELECT o.id, s.city FROM orders AS o LEFT JOIN shops FOR SYSTEM_TIME AS OF o.proc AS s
ON o.shop = s.id AND s.rating > 3 AND o.price > s.rating;
-- A computed column of the table, and a condition behind the join.
INSERT INTO shown SELECT s.weight, s.city FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.proc AS s ON s.id = o.id
WHERE s.city <> 'Ulm' AND o.price > 1;
-- Hints: several questions at a time, in any order, and again where nothing was found. One table twice.
INSERT INTO shown SELECT /*+ LOOKUP('table' = 'c', 'async' = 'true', 'output-mode' = 'allow_unordered', 'capacity' = '20', 'timeout' = '30 s'),
  LOOKUP('table' = 's', 'retry-predicate' = 'lookup_miss', 'retry-strategy' = 'fixed_delay', 'fixed-delay' = '2 s', 'max-attempts' = '3') */
o.id, c.city || s.city FROM orders AS o
JOIN cached FOR SYSTEM_TIME AS OF o.proc AS c ON o.id = c.id
JOIN shops FOR SYSTEM_TIME AS OF o.proc AS s ON o.id + 1 = s.id;
-- Windows go on with the time of the stream.
SET 'table.exec.async-lookup.timeout' = '10 s';
INSERT INTO shown SELECT COUNT(*), city FROM (
  SELECT o.ts, c.city FROM orders AS o JOIN cached FOR SYSTEM_TIME AS OF o.proc AS c ON o.id = c.id
) GROUP BY city, TUMBLE(ts, INTERVAL '1' MINUTE);
-- Two streams ask one table in one job, and a row asks twice with the same key: each join has its own answers.
CREATE TABLE sent_back (id BIGINT, proc AS PROCTIME()) WITH ('connector' = 'kafka', 'topic' = 'returns', 'format' = 'json');
INSERT INTO shown SELECT o.id, c.city FROM orders AS o JOIN cached FOR SYSTEM_TIME AS OF o.proc AS c ON o.id = c.id
UNION ALL SELECT r.id, c.city FROM sent_back AS r JOIN cached FOR SYSTEM_TIME AS OF r.proc AS c ON r.id = c.id;
INSERT INTO shown SELECT o.id, c.city || d.city FROM orders AS o
JOIN cached FOR SYSTEM_TIME AS OF o.proc AS c ON o.id = c.id JOIN cached FOR SYSTEM_TIME AS OF o.proc AS d ON o.id = d.id;
-- A SELECT without FROM leaves the hints of the one around it alone.
INSERT INTO shown SELECT /*+ LOOKUP('table' = 'c', 'async' = 'true', 'output-mode' = 'allow_unordered') */ o.id, c.city
FROM (SELECT id, PROCTIME() AS proc FROM (SELECT CAST(1 AS BIGINT) AS id)) AS o JOIN cached FOR SYSTEM_TIME AS OF o.proc AS c ON o.id = c.id;
