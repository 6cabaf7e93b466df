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
