-- What a temporal join cannot be.
CREATE TABLE orders (id BIGINT, k STRING, ts TIMESTAMP(3), p AS PROCTIME(), WATERMARK FOR ts AS ts) WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json');
CREATE TABLE rates (k STRING, r INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'r', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE no_time (k STRING, r INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'r', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE no_key (k STRING, r INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'kafka', 'topic' = 'h', 'format' = 'json');
CREATE VIEW big AS SELECT * FROM rates WHERE r > 10;
CREATE VIEW earliest AS SELECT k, r, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS n FROM no_key) WHERE n = 1;
SELECT o.id FROM orders AS o JOIN no_time FOR SYSTEM_TIME AS OF o.ts AS r ON o.k = r.k;
SELECT o.id FROM orders AS o JOIN no_key FOR SYSTEM_TIME AS OF o.ts AS r ON o.k = r.k;
SELECT o.id FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.id = r.r;
SELECT o.id FROM orders AS o LEFT JOIN big FOR SYSTEM_TIME AS OF o.ts AS r ON o.k = r.k;
SELECT o.id FROM orders AS o JOIN earliest FOR SYSTEM_TIME AS OF o.ts AS r ON o.k = r.k;
SELECT o.id FROM orders AS o FULL JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.k = r.k;
SELECT o.id FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01 00:00:00' AS r ON o.k = r.k;
SELECT o.id FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.p AS r ON o.k = r.k;
SELECT o.k FROM rates AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.k = r.k;
