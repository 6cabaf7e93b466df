-- What a lookup join cannot be, and what its hint does not take.
CREATE TABLE orders (id BIGINT, k STRING, ts TIMESTAMP(3), p AS PROCTIME(), WATERMARK FOR ts AS ts) WITH ('connector' = 'kafka', 'topic' = 'o', 'format' = 'json');
CREATE TABLE shops (id BIGINT, k STRING, n INT, double_n AS n * 2) WITH ('connector' = 'database', 'url' = 'jdbc:sqlite:shop.db', 'table-name' = 'shops');
SELECT * FROM shops;
SELECT o.id FROM orders AS o JOIN shops AS s ON o.id = s.id;
SELECT o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.ts AS s ON o.id = s.id;
SELECT o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id > s.id;
SELECT o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id + 1;
SELECT o.id FROM orders AS o FULL JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT o.id, s.double_n FROM orders AS o LEFT JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT /*+ LOOKUP('table' = 'shops') */ o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT /*+ LOOKUP('async' = 'true') */ o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT /*+ LOOKUP('table' = 's', 'capacty' = '10') */ o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT /*+ LOOKUP('table' = 's', 'capacity' = '0') */ o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT /*+ LOOKUP('table' = 's', 'async' = 'yes') */ o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT /*+ LOOKUP('table' = 's', 'timeout' = 'soon') */ o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT /*+ LOOKUP('table' = 's', 'output-mode' = 'SORTED') */ o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT /*+ LOOKUP('table' = 's', 'retry-predicate' = 'lookup_miss') */ o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
SELECT /*+ LOOKUP(s) */ o.id FROM orders AS o JOIN shops FOR SYSTEM_TIME AS OF o.p AS s ON o.id = s.id;
