-- Each order with what the database says of its shop when the order comes by.
CREATE TABLE orders (id INT, shop BIGINT, price INT, proc AS PROCTIME())
WITH ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv', 'csv.null-literal' = '');

CREATE TABLE shops (id BIGINT, city STRING, rating DECIMAL(2, 1), opened TIMESTAMP(3), PRIMARY KEY (id) NOT ENFORCED)
WITH (
  'connector' = 'jdbc', 'url' = 'jdbc:sqlite:shop.db', 'table-name' = 'shops',
  -- An answer is used for ten minutes, and at most 1000 of them are kept.
  'lookup.cache' = 'PARTIAL',
  'lookup.partial-cache.max-rows' = '1000',
  'lookup.partial-cache.expire-after-write' = '10 min'
);

CREATE TABLE shown (id INT, city STRING, rating DECIMAL(2, 1), opened TIMESTAMP(3)) WITH ('connector' = 'print');

-- Rows without a shop, or with one that nobody knows, stay: it is a LEFT JOIN. A shop that is not there yet is asked for
-- twice more.
INSERT INTO shown
SELECT /*+ LOOKUP('table' = 's', 'async' = 'true', 'capacity' = '50', 'timeout' = '30 s',
                  'retry-predicate' = 'lookup_miss', 'retry-strategy' = 'fixed_delay',
                  'fixed-delay' = '10 ms', 'max-attempts' = '2') */
  o.id, s.city, s.rating, s.opened
FROM orders AS o LEFT JOIN shops FOR SYSTEM_TIME AS OF o.proc AS s ON o.shop = s.id AND s.rating > 2.5;
