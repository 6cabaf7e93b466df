-- Looks every type up; ${URL} and the password come from the test.
CREATE TABLE visits (id INT, shop BIGINT, proc AS PROCTIME()) WITH ('connector' = 'filesystem', 'path' = 'visits.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE TABLE shops (
  id BIGINT, `City` STRING, code CHAR(3), mood STRING, `key` STRING, is_open BOOLEAN, tiny SMALLINT, rating DECIMAL(5, 2),
  single FLOAT, `double` DOUBLE, photo BYTES, since DATE, opens TIME(0), changed TIMESTAMP(3), seen TIMESTAMP_LTZ(3)
) WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'Sales.shops', 'username' = '${WHO}', 'password' = '${PASSWORD}');
CREATE TABLE stock (shop INT, item STRING, pieces INT)
WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'stock', 'username' = '${WHO}', 'password' = '${PASSWORD}',
      'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '2');
CREATE TABLE shown (
  id INT, `City` STRING, code STRING, mood STRING, `key` STRING, is_open BOOLEAN, tiny SMALLINT, rating DECIMAL(5, 2),
  single FLOAT, `double` DOUBLE, photo BYTES, since DATE, opens TIME(0), changed TIMESTAMP(3), seen TIMESTAMP_LTZ(3)
) WITH ('connector' = 'print');
CREATE TABLE counted (id INT, items BIGINT, pieces INT) WITH ('connector' = 'print');
SET 'table.dml-sync' = 'true';
INSERT INTO shown SELECT v.id, `City`, code, mood, `key`, is_open, tiny, rating, single, `double`, photo, since, opens, changed, seen
FROM visits AS v LEFT JOIN shops FOR SYSTEM_TIME AS OF v.proc AS s ON v.shop = s.id;
-- Many rows under a key, and a text as a further one.
INSERT INTO counted SELECT v.id, COUNT(*), SUM(s.pieces)
FROM visits AS v JOIN stock FOR SYSTEM_TIME AS OF v.proc AS s ON CAST(v.shop AS INT) = s.shop AND s.pieces < 2900 GROUP BY v.id;
