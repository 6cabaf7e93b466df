-- What queries whose rows change cannot do.
CREATE TABLE orders (id BIGINT, customer STRING, amount INT, placed TIMESTAMP(3), WATERMARK FOR placed AS placed)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE out_topic (customer STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'format' = 'json');
CREATE TABLE changing (id STRING, ts TIMESTAMP(3), PRIMARY KEY (id) NOT ENFORCED, WATERMARK FOR ts AS ts)
WITH ('connector' = 'upsert-kafka', 'topic' = 'changing', 'key.format' = 'json', 'value.format' = 'json');
INSERT INTO out_topic SELECT customer, COUNT(*) FROM orders GROUP BY customer;
INSERT INTO out_topic SELECT customer, n FROM (SELECT customer, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY id) AS n FROM orders);
INSERT INTO out_topic SELECT customer, ROW_NUMBER() OVER (PARTITION BY customer) FROM orders;
INSERT INTO out_topic SELECT customer, RANK() OVER (PARTITION BY customer ORDER BY id) FROM orders;
INSERT INTO out_topic SELECT customer, SUM(amount) OVER (PARTITION BY customer ORDER BY placed) FROM orders;
INSERT INTO out_topic SELECT id, COUNT(*) FROM TABLE(TUMBLE(TABLE changing, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY id, window_start, window_end;
SELECT FIRST_VALUE(n) FROM (SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer);
SELECT customer, ROW_NUMBER() OVER (ORDER BY COUNT(*)) FROM orders GROUP BY customer;
SELECT customer FROM orders WHERE ROW_NUMBER() OVER (ORDER BY id) < 5;
SELECT o.id FROM orders o JOIN orders p ON o.placed = p.placed;
SELECT o.id FROM orders o JOIN orders p ON o.id = p.id AND o.placed BETWEEN p.placed - INTERVAL '1' HOUR AND p.placed;
INSERT INTO out_topic SELECT o.customer, p.id FROM orders o LEFT JOIN orders p ON o.id = p.id AND p.amount > 1;
INSERT INTO out_topic SELECT customer, COUNT(*) FROM orders GROUP BY customer HAVING COUNT(*) > 10;
INSERT INTO out_topic SELECT id, 1 FROM changing;
INSERT INTO out_topic SELECT customer, id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount) AS n FROM orders) WHERE n > 3;
INSERT INTO out_topic SELECT customer, LAST_VALUE(n) FROM (SELECT customer, amount, COUNT(*) AS n FROM orders GROUP BY customer, amount) GROUP BY customer;
SELECT customer, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY id), ROW_NUMBER() OVER (ORDER BY id) FROM orders;
SELECT ROW_NUMBER() OVER w FROM orders WINDOW w AS (ORDER BY id);
SELECT customer, amount FROM orders GROUP BY customer;
CREATE TABLE by_number (customer STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'n', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE payments (customer STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'p', 'format' = 'json');
INSERT INTO by_number SELECT o.customer, p.n FROM orders o JOIN payments p ON o.id = p.n ON CONFLICT DO NOTHING;
INSERT INTO by_number SELECT customer, COUNT(*) FROM payments GROUP BY customer ON CONFLICT DO ERROR;
INSERT INTO out_topic SELECT customer, id FROM orders ON CONFLICT DO DEDUPLICATE;
CREATE TABLE printed (customer STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'print');
INSERT INTO printed SELECT customer, id FROM orders ON CONFLICT DO ERROR;
CREATE TABLE changed (id STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'd', 'format' = 'debezium-json');
SET 'table.exec.source.cdc-events-duplicate' = 'true';
INSERT INTO printed SELECT id, n FROM changed;
