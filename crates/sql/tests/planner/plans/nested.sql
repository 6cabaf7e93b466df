-- Collections taken apart, and sub-queries that read the row before them.
CREATE TABLE orders (
  id BIGINT, customer STRING, items ARRAY<ROW<sku STRING, price DECIMAL(10, 2)>>, tags ARRAY<STRING>, counts MAP<STRING, INT>,
  placed TIMESTAMP(3), WATERMARK FOR placed AS placed - INTERVAL '1' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE baskets (
  customer STRING, tags ARRAY<STRING>, PRIMARY KEY (customer) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'baskets', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE names (sku STRING, name STRING) WITH ('connector' = 'filesystem', 'path' = 'names', 'format' = 'csv');
CREATE TABLE by_tag (tag STRING, c BIGINT, PRIMARY KEY (tag) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'by-tag', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE by_place (customer STRING, place INT, tag STRING, PRIMARY KEY (customer, place) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'by-place', 'key.format' = 'json', 'value.format' = 'json');
-- The array itself is not carried along; what is said of the order alone is said below.
SELECT id, sku, price FROM orders CROSS JOIN UNNEST(items) AS i (sku, price) WHERE price > 10 AND id < 100;
SELECT o.id, t.tag, t.n FROM orders AS o LEFT JOIN UNNEST(o.tags) WITH ORDINALITY AS t (tag, n) ON TRUE;
SELECT id, tag FROM orders, UNNEST(tags) AS tag;
SELECT id, k, v FROM orders JOIN UNNEST(counts) AS c (k, v) ON v > 1;
SELECT * FROM UNNEST(ARRAY[1, 2]) WITH ORDINALITY AS t (x, n);
-- Event time goes on.
SELECT window_start, tag, COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(placed), INTERVAL '1' HOUR)) CROSS JOIN UNNEST(tags) AS t (tag) GROUP BY window_start, window_end, tag;
-- Changes pass; the key of the rows and the place tell elements apart.
INSERT INTO by_tag SELECT tag, COUNT(*) FROM baskets CROSS JOIN UNNEST(tags) AS t (tag) GROUP BY tag;
INSERT INTO by_place SELECT customer, n, tag FROM baskets CROSS JOIN UNNEST(tags) WITH ORDINALITY AS t (tag, n);
-- LATERAL.
SELECT id, long_tag FROM orders AS o CROSS JOIN LATERAL (SELECT UPPER(tag) AS long_tag FROM UNNEST(o.tags) AS t (tag) WHERE CHAR_LENGTH(tag) > 3) AS l;
SELECT o.id, l.name FROM orders AS o LEFT JOIN LATERAL (SELECT n.name FROM names AS n WHERE n.sku = o.customer) AS l ON TRUE;
-- JSON: the clauses are part of the expression.
SELECT JSON_VALUE(customer, '$.name' RETURNING INT NULL ON EMPTY ERROR ON ERROR), JSON_QUERY(customer, 'lax $.a' WITH WRAPPER), JSON_OBJECT('id' VALUE id, 'tags' VALUE tags) FROM orders WHERE customer IS JSON OBJECT;
