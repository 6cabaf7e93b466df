-- Materialized tables that cannot be kept.
CREATE TABLE t (k STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE VIEW plain AS SELECT k FROM t;
CREATE MATERIALIZED TABLE a REFRESH_MODE = FULL AS SELECT k FROM t;
SET 'parallelism.default' = '1';
CREATE MATERIALIZED TABLE b WITH ('format' = 'json') AS SELECT k FROM t;
SET 'parallelism.default' = '1';
CREATE MATERIALIZED TABLE c PARTITIONED BY (region) AS SELECT k FROM t;
SET 'parallelism.default' = '1';
CREATE MATERIALIZED TABLE d (k, m) AS SELECT k, n FROM t;
SET 'parallelism.default' = '1';
CREATE MATERIALIZED TABLE plain AS SELECT k FROM t;
ALTER MATERIALIZED TABLE e SUSPEND;
ALTER MATERIALIZED TABLE e RESUME;
ALTER MATERIALIZED TABLE e REFRESH;
DROP MATERIALIZED TABLE plain;
