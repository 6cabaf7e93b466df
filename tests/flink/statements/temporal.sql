-- Temporal joins by event time: versions of an upsert source, and of the latest row of each key.
CREATE TABLE orders (
  id INT, currency STRING, amount INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE TABLE rates (
  currency STRING, rate DECIMAL(6, 2), note STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND, PRIMARY KEY (currency) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'path' = '${data}/rates.json', 'format' = 'debezium-json');
CREATE TABLE rate_log (
  currency STRING, rate DECIMAL(6, 2), ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${data}/rate_log.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE VIEW latest_rates AS SELECT currency, rate, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY currency ORDER BY ts DESC) AS n FROM rate_log) WHERE n = 1;
CREATE VIEW doubled_rates AS SELECT currency, rate * 2 AS rate2, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY currency ORDER BY ts DESC) AS n FROM rate_log) WHERE n = 1;

SELECT o.id, o.currency, r.rate FROM orders AS o JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
SELECT o.id, o.currency, r.rate FROM orders AS o LEFT JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
SELECT o.id, o.amount * r.rate AS x, r.ts FROM orders AS o LEFT JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON r.currency = o.currency;
SELECT o.id, r.rate FROM orders AS o JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency AND r.rate > 1;
SELECT o.id, r.rate FROM orders AS o LEFT JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency AND o.amount > 6;
SELECT o.id, r.rate FROM orders AS o LEFT JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency AND o.amount > r.rate * 5;
SELECT o.id, r.rate FROM orders AS o JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency WHERE r.rate < 1.3;
SELECT o.id, r.rate2 FROM orders AS o JOIN doubled_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
SELECT o.currency, COUNT(*), SUM(o.amount * r.rate) FROM orders AS o JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency GROUP BY o.currency;
SELECT window_start, COUNT(*), SUM(x) FROM TABLE(TUMBLE((SELECT o.amount * r.rate AS x, o.ts FROM orders AS o LEFT JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency), DESCRIPTOR(ts), INTERVAL '20' SECOND)) GROUP BY window_start, window_end;
SELECT TUMBLE_START(ts, INTERVAL '30' SECOND) AS s, COUNT(*) FROM (SELECT o.ts, r.rate FROM orders AS o JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency) GROUP BY TUMBLE(ts, INTERVAL '30' SECOND);
SELECT o.id, a.rate, b.rate2 FROM orders AS o LEFT JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS a ON o.currency = a.currency LEFT JOIN doubled_rates FOR SYSTEM_TIME AS OF o.ts AS b ON o.currency = b.currency;
SELECT o.id, r.rate FROM (SELECT * FROM orders WHERE amount > 4) AS o JOIN latest_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
SELECT b.auction, b.bidder, r.rate FROM bids AS b LEFT JOIN latest_rates FOR SYSTEM_TIME AS OF b.ts AS r ON r.currency = CASE WHEN MOD(b.auction, 2) = 0 THEN 'EUR' ELSE 'YEN' END;
SELECT o.id, o.currency, r.rate, r.note FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
SELECT o.id, o.currency, r.rate, r.note FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
SELECT o.id, o.amount * r.rate AS x, r.ts FROM orders AS o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency AND r.rate > 1;
SELECT r.note, COUNT(*) FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency GROUP BY r.note;
SELECT o.id, r.rate FROM orders AS o RIGHT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.amount = r.rate;
SELECT o.id, r.rate FROM orders AS o JOIN rate_log FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF TIMESTAMP '2026-03-05 12:00:30' AS r ON o.currency = r.currency;
