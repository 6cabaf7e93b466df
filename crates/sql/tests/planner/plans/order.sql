-- ORDER BY, LIMIT, QUALIFY, deduplication and set operations.
CREATE TABLE orders (id BIGINT, name STRING, price INT, ts TIMESTAMP(3), proc AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE others (id BIGINT, name STRING) WITH ('connector' = 'kafka', 'topic' = 'others', 'format' = 'json');
CREATE TABLE shown (a BIGINT, b STRING) WITH ('connector' = 'print');
CREATE TABLE added (a BIGINT, b STRING) WITH ('connector' = 'kafka', 'topic' = 'added', 'format' = 'json');
-- By a time attribute: rows wait for the watermark; by the arrival: nothing to do.
INSERT INTO added SELECT id, name FROM orders ORDER BY ts, price DESC;
INSERT INTO added SELECT id, name FROM orders ORDER BY proc;
INSERT INTO added SELECT id, name FROM orders ORDER BY proc, name;
-- The order of a sub-query means nothing.
INSERT INTO added SELECT id, name FROM (SELECT id, name FROM orders ORDER BY price) WHERE id > 1;
-- The first rows of an order, by items, names, positions and what is not shown.
INSERT INTO shown SELECT id, name AS n FROM orders ORDER BY n, 1 DESC, price + 1 LIMIT 3 OFFSET 1;
INSERT INTO shown SELECT COUNT(*) AS c, name FROM orders GROUP BY name ORDER BY SUM(price) DESC FETCH FIRST 2 ROWS ONLY;
INSERT INTO shown SELECT id, name FROM orders UNION ALL SELECT id, name FROM others ORDER BY id LIMIT 3;
INSERT INTO shown SELECT DISTINCT id, name FROM orders ORDER BY UPPER(name) LIMIT 3;
-- The first rows that come are only added.
INSERT INTO added SELECT id, name FROM orders LIMIT 5;
INSERT INTO added SELECT id, name FROM orders LIMIT 0;
-- QUALIFY, with the function and with its name.
INSERT INTO shown SELECT id, name FROM orders QUALIFY ROW_NUMBER() OVER (PARTITION BY name ORDER BY price DESC) <= 2 AND name <> 'x';
INSERT INTO shown SELECT ROW_NUMBER() OVER (PARTITION BY name ORDER BY price DESC) AS n, name FROM orders QUALIFY n = 1;
-- The first row to come of each key is only added; the latest by time is an update.
INSERT INTO added SELECT n, name FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY name ORDER BY proc) AS n FROM orders) WHERE n = 1;
INSERT INTO shown SELECT id, name FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY name ORDER BY ts DESC) AS n FROM orders) WHERE n = 1;
-- Set operations.
INSERT INTO added SELECT id, name FROM orders INTERSECT SELECT id, name FROM others;
INSERT INTO shown SELECT id, name FROM orders EXCEPT SELECT id, name FROM others WHERE id > 3;
INSERT INTO shown SELECT id, name FROM orders INTERSECT ALL SELECT id, name FROM others;
INSERT INTO shown SELECT price, name FROM orders EXCEPT ALL SELECT id, name FROM others;
