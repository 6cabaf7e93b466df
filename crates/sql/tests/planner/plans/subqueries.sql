-- Sub-queries as values, and columns that joins merge.
CREATE TABLE orders (id BIGINT NOT NULL, customer BIGINT, price INT) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE customers (id BIGINT NOT NULL, name STRING, limit_price INT) WITH ('connector' = 'kafka', 'topic' = 'customers', 'format' = 'json');
CREATE TABLE shown (a BIGINT, b STRING) WITH ('connector' = 'print');
-- Under OR and in SELECT: what is found comes by a LEFT join; NULLs need the counts.
INSERT INTO shown SELECT id, 'either' FROM orders WHERE id IN (SELECT id FROM customers) OR price > 8;
INSERT INTO shown SELECT id, CAST(customer IN (SELECT id FROM customers) AS STRING) FROM orders;
INSERT INTO shown SELECT id, 'exists' FROM orders AS o WHERE price > 8 OR EXISTS (SELECT 1 FROM customers AS c WHERE c.id = o.customer AND c.name <> 'x');
INSERT INTO shown SELECT id, CAST(NOT EXISTS (SELECT 1 FROM customers) AS STRING) FROM orders;
-- Scalar ones: the only row, and an aggregate for each key.
INSERT INTO shown SELECT id, (SELECT name FROM customers) FROM orders;
INSERT INTO shown SELECT id, (SELECT MAX(c.name) FROM customers AS c WHERE c.id = o.customer) FROM orders AS o;
INSERT INTO shown SELECT id, 'few' FROM orders AS o WHERE o.price > (SELECT COUNT(*) FROM customers AS c WHERE c.id = o.customer);
INSERT INTO shown SELECT id, (SELECT c.name FROM customers AS c WHERE c.id = o.customer) FROM orders AS o;
-- ANY and ALL.
INSERT INTO shown SELECT id, 'any' FROM orders WHERE id = ANY (SELECT id FROM customers);
-- USING and NATURAL show their columns once.
SELECT * FROM orders JOIN customers USING (id);
SELECT * FROM orders NATURAL LEFT JOIN customers;
SELECT id, customers.id FROM orders FULL JOIN customers USING (id);
