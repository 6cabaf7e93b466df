-- Temporal joins: with the versions of a table, and of a view that keeps the latest row of each key.
CREATE TABLE orders (id BIGINT, currency STRING, price INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE rates (currency STRING, rate INT, since TIMESTAMP(3), WATERMARK FOR since AS since - INTERVAL '1' SECOND, PRIMARY KEY (currency) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'rates', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE history (currency STRING, rate INT, note STRING, since TIMESTAMP(3), WATERMARK FOR since AS since - INTERVAL '1' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'history', 'format' = 'json');
CREATE VIEW latest AS SELECT currency, rate, since FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY currency ORDER BY since DESC) AS n FROM history WHERE note <> 'x'
) WHERE n = 1;
CREATE TABLE shown (a BIGINT, b INT) WITH ('connector' = 'print');
INSERT INTO shown SELECT o.id, o.price * r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
-- What stands in ON or WHERE about the right side is asked behind the join; the left side is filtered before.
INSERT INTO shown SELECT o.id, r.rate FROM orders AS o LEFT JOIN latest FOR SYSTEM_TIME AS OF o.ts AS r
ON o.currency = r.currency AND r.rate > 10 WHERE o.price > 5 AND r.rate IS NULL;
-- The event time of the left side goes on.
INSERT INTO shown SELECT COUNT(*), MAX(rate) FROM (
  SELECT o.ts, r.rate FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON r.currency = UPPER(o.currency)
) GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE);
-- The same table as it is, complete, and by its versions.
INSERT INTO shown SELECT o.id, n.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency
JOIN rates AS n ON n.currency = r.currency;
