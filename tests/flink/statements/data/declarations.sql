-- What every file of statements may read. The inputs are small, so that a result can be followed by hand.

CREATE TABLE bids (
  auction INT, bidder STRING, price DECIMAL(10, 2), qty INT, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${data}/bids.csv', 'format' = 'csv', 'csv.null-literal' = '');

CREATE TABLE late (
  id INT, k STRING, v INT, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${data}/late.csv', 'format' = 'csv');

CREATE TABLE auctions (
  id INT, item STRING, seller STRING, opens TIMESTAMP(3), closes TIMESTAMP(3),
  WATERMARK FOR opens AS opens
) WITH ('connector' = 'filesystem', 'path' = '${data}/auctions.csv', 'format' = 'csv', 'csv.null-literal' = '');

CREATE TABLE people (name STRING, city STRING, age INT)
WITH ('connector' = 'filesystem', 'path' = '${data}/people.csv', 'format' = 'csv', 'csv.null-literal' = '');

CREATE TABLE numbers (id INT, i INT, b BIGINT, d DOUBLE, m DECIMAL(10, 2), s STRING, f BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '${data}/numbers.csv', 'format' = 'csv', 'csv.null-literal' = '');

CREATE TABLE products (id INT, name STRING, price DECIMAL(10, 2), stock INT, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'filesystem', 'path' = '${data}/products.json', 'format' = 'debezium-json');

CREATE TABLE sales (id INT, product INT, qty INT, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'filesystem', 'path' = '${data}/sales.json', 'format' = 'debezium-json');

