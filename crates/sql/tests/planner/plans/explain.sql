-- What EXPLAIN says of state and what it advises.
CREATE TABLE orders (id BIGINT, customer STRING, amount INT, placed TIMESTAMP(3), WATERMARK FOR placed AS placed - INTERVAL '5' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE customers (id STRING, name STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'customers', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE totals (customer STRING, n BIGINT, PRIMARY KEY (customer) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE by_number (customer STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'n', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE ahead (id BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts + INTERVAL '5' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'ahead', 'format' = 'json');
-- A group for ever, values behind DISTINCT and MAX, and a TTL.
INSERT INTO totals SELECT customer, COUNT(*) FROM orders GROUP BY customer;
INSERT INTO by_number SELECT customer, COUNT(DISTINCT id) FROM orders GROUP BY customer ON CONFLICT DO DEDUPLICATE;
SET 'table.exec.state.ttl' = '36 h';
INSERT INTO totals SELECT o.customer, MAX(o.amount) FROM orders o JOIN customers c ON o.customer = c.id GROUP BY o.customer;
RESET 'table.exec.state.ttl';
-- Joins: by keys that are not unique, by none, with a version of its own, by time.
SELECT a.id, b.amount FROM orders a JOIN orders b ON a.customer = b.customer;
SELECT a.id, b.amount FROM orders a, orders b;
SELECT o.id, c.name FROM orders o JOIN customers c ON o.customer = c.id;
SELECT a.id, b.amount FROM orders a JOIN orders b ON a.id = b.id AND a.placed BETWEEN b.placed - INTERVAL '1' HOUR AND b.placed;
SELECT a.id, b.amount FROM orders a JOIN orders b ON a.placed BETWEEN b.placed - INTERVAL '1' HOUR AND b.placed;
-- A hint for each side, before what is set; 0 is for ever, and what is nested deeper has hints of its own.
SET 'table.exec.state.ttl' = '36 h';
INSERT INTO totals SELECT /*+ STATE_TTL('o' = '12 h', 'c' = '0') */ o.customer, MAX(o.amount) FROM orders o JOIN customers c ON o.customer = c.id GROUP BY o.customer;
INSERT INTO totals SELECT /*+ STATE_TTL('orders' = '2 d', 'orders' = '3 d'), STATE_TTL('orders' = '4 d') */ customer, COUNT(*) FROM orders GROUP BY customer;
SELECT /*+ STATE_TTL('t' = '1 h') */ DISTINCT customer FROM (SELECT customer, MAX(amount) AS amount FROM orders GROUP BY customer) AS t;
RESET 'table.exec.state.ttl';
SELECT /*+ STATE_TTL('a' = '1 h', 'c' = '3 h') */ a.id, b.amount, c.name FROM orders a RIGHT JOIN orders b ON a.customer = b.customer JOIN customers c ON c.id = b.customer;
-- Windows forget by the watermark.
SELECT window_start, customer, COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(placed), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, customer;
SELECT * FROM TABLE(SESSION(TABLE orders PARTITION BY customer, DESCRIPTOR(placed), INTERVAL '5' MINUTE));
SELECT customer, amount FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount DESC) AS place FROM orders) WHERE place <= 3;
SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE ahead, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
SELECT id FROM orders WHERE amount > 5;
-- Sums of sessions.
SELECT customer, COUNT(*), MAX(amount), window_end
FROM TABLE(SESSION(TABLE orders PARTITION BY customer, DESCRIPTOR(placed), INTERVAL '5' MINUTE))
GROUP BY customer, window_start, window_end;
