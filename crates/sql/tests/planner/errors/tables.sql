-- Declarations that cannot be.
CREATE TABLE a (x INT) WITH ('conector' = 'kafka');
CREATE TABLE b (x INT) WITH ('connector' = 'kafak');
CREATE TABLE c (x INT) WITH ('connector' = 'kafka', 'topc' = 't', 'format' = 'json');
CREATE TABLE d (x INT, x STRING) WITH ('connector' = 'print');
CREATE TABLE e (x INT, y AS z + 1) WITH ('connector' = 'print');
CREATE TABLE f (x INT, WATERMARK FOR x AS x) WITH ('connector' = 'print');
CREATE TABLE g (x TIMESTAMP(6), WATERMARK FOR x AS x) WITH ('connector' = 'print');
CREATE TABLE h (x TIMESTAMP(3), WATERMARK FOR y AS x) WITH ('connector' = 'print');
CREATE TABLE i (x INT, PRIMARY KEY (z) NOT ENFORCED) WITH ('connector' = 'print');
CREATE TABLE j (x BIGINT METADATA FROM 'ofset') WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE k (x INTT) WITH ('connector' = 'print');
CREATE TABLE l (x INT) WITH ('connector' = 'print');
CREATE TABLE l (x INT) WITH ('connector' = 'print');
CREATE VIEW v AS SELECT y FROM l;
SELECT x FROM l;
CREATE TABLE m (x INT) WITH ('connector' = 'datagen');
INSERT INTO m SELECT x FROM m;
CREATE VIEW w AS SELECT x FROM m;
INSERT INTO w SELECT x FROM m;
DROP TABLE w;
SET 'table.local-time-zone' = 'Europe/Atlantis';
-- What lies in a declaration that failed is not reported again.
SELECT x FROM a;
