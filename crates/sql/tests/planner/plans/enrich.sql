-- Filters, computed and metadata columns, a join with a bounded table.
CREATE TABLE orders (
  id BIGINT,
  customer STRING,
  amount DECIMAL(10, 2),
  note STRING,
  placed TIMESTAMP(3),
  total AS amount * 1.19,
  log_offset BIGINT METADATA FROM 'offset' VIRTUAL,
  WATERMARK FOR placed AS placed - INTERVAL '5' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE customers (
  id STRING NOT NULL, name STRING, country STRING, PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'path' = 'customers.csv', 'format' = 'csv');
CREATE TABLE big (id BIGINT, name STRING, total DECIMAL(14, 4), log_offset BIGINT)
WITH ('connector' = 'print');
-- The predicate on the customer goes below the join, and only needed columns are read.
INSERT INTO big
SELECT o.id, c.name, o.total, o.log_offset
FROM orders AS o JOIN customers AS c ON o.customer = c.id AND c.country = 'DE'
WHERE o.amount > 100 AND c.name IS NOT NULL;
-- A comma join with an equality in WHERE is the same join; a LEFT join keeps the stream.
INSERT INTO big (id, name) SELECT o.id, c.name FROM orders o, customers c WHERE o.customer = c.id;
INSERT INTO big (name, id) SELECT c.name, o.id FROM orders o LEFT JOIN customers c ON UPPER(o.customer) = c.id WHERE o.id > 5;
INSERT INTO big (name, id) SELECT c.name, o.id FROM customers c RIGHT JOIN orders o ON o.customer = c.id;
SELECT id, CASE WHEN amount > 100 THEN 'big' ELSE 'small' END AS size FROM orders WHERE note LIKE 'x%';
EXPLAIN SELECT * FROM customers;
