-- Aggregates without windows, joins of two streams, Top-N: queries whose rows change.
CREATE TABLE orders (id BIGINT, customer STRING, amount DECIMAL(10, 2), placed TIMESTAMP(3))
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE payments (id BIGINT, order_id BIGINT, amount DECIMAL(10, 2))
WITH ('connector' = 'kafka', 'topic' = 'payments', 'format' = 'json');
CREATE TABLE customers (id STRING, name STRING, country STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'customers', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE totals (customer STRING, orders BIGINT, total DECIMAL(38, 2), PRIMARY KEY (customer) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE paid (id BIGINT, customer STRING, paid DECIMAL(10, 2), PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'paid', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE best (country STRING, name STRING, total DECIMAL(38, 2), n BIGINT, PRIMARY KEY (country, n) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'best', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE names (name STRING) WITH ('connector' = 'filesystem', 'path' = 'names', 'format' = 'csv');
CREATE TABLE seen (customer STRING) WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'json');
-- By the sink's key: no -U is needed. The condition on the group goes below the aggregate.
INSERT INTO totals
SELECT customer, COUNT(*), SUM(amount) FROM orders GROUP BY customer HAVING customer <> 'x';
-- A condition on the result needs the old rows.
INSERT INTO totals
SELECT customer, COUNT(*), SUM(amount) FROM orders GROUP BY customer HAVING COUNT(*) > 10;
-- Distinct rows of a stream that only grows only grow.
INSERT INTO seen SELECT DISTINCT customer FROM orders WHERE amount > 5;
SELECT customer FROM orders UNION SELECT name FROM customers;
-- Two streams: the rows have no key that is the sink's, so they are kept by it.
INSERT INTO paid SELECT o.id, o.customer, p.amount FROM orders o JOIN payments p ON o.id = p.order_id;
INSERT INTO paid SELECT o.id, o.customer, p.amount FROM orders o LEFT JOIN payments p ON o.id = p.order_id AND p.amount > 1;
-- An aggregate of a join with a table that changes, and the best of each country.
INSERT INTO best
SELECT country, name, total, n
FROM (
  SELECT country, name, total, ROW_NUMBER() OVER (PARTITION BY country ORDER BY total DESC, name) AS n
  FROM (
    SELECT c.country, c.name, SUM(o.amount) AS total
    FROM orders o JOIN customers c ON o.customer = c.id GROUP BY c.country, c.name
  )
)
WHERE n <= 3 AND country <> 'AQ';
-- The number is not asked for.
SELECT id, amount FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY amount DESC NULLS LAST) AS n FROM orders) WHERE 5 > n AND id > 0;
SELECT COUNT(*), COUNT(DISTINCT customer) FILTER (WHERE amount > 1) FROM orders;
SELECT AVG(total), MAX(n) FROM (SELECT customer, COUNT(*) AS n, SUM(amount) AS total FROM orders GROUP BY customer);
-- A table that changes joins itself, by its key on both sides.
SELECT a.name, b.country FROM customers a JOIN customers b ON a.id = b.id;
-- Every row of one with every row of the other; a bounded table that is kept because the other side pads it.
SELECT o.id, c.name FROM orders o, customers c WHERE o.customer < c.id;
SELECT c.name, o.id FROM (SELECT DISTINCT name FROM names) c LEFT JOIN orders o ON c.name = o.customer;
INSERT INTO paid SELECT o.id, o.customer, p.amount FROM orders o LEFT JOIN payments p ON o.id = p.order_id ON CONFLICT DO DEDUPLICATE;
