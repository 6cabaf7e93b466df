-- Rows that a statement holds itself.
CREATE TABLE shown (a BIGINT, b STRING) WITH ('connector' = 'print');
CREATE TABLE orders (id BIGINT, name STRING) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
INSERT INTO shown VALUES (1, 'x');
INSERT INTO shown VALUES (1, 'x'), (2, 'yz'), (CAST(3 AS BIGINT), NULL);
INSERT INTO shown (b) VALUES ('x');
-- What depends on the clock is computed when the job runs, and so is what fails.
INSERT INTO shown VALUES (1, CAST(CURRENT_DATE AS STRING)), (1 / 0, 'b');
SELECT 1, 'a' AS x, 1.0 / 3;
SELECT COUNT(*);
VALUES ROW(1, 'a'), ROW(2, 'b');
-- A stream is joined with them as with any table that ends.
SELECT o.id, t.b FROM orders AS o JOIN (VALUES (1, 'one'), (2, 'two')) AS t (a, b) ON o.id = t.a;
SELECT id FROM orders UNION ALL SELECT 3 UNION ALL VALUES (4), (5);
TABLE orders;
