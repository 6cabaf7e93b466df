-- Names that stand for nothing.
CREATE TABLE t (a INT, b STRING, r ROW<x INT, y STRING>, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE u (a INT, c STRING) WITH ('connector' = 'kafka', 'topic' = 'u', 'format' = 'json');
CREATE TABLE f (a INT, c STRING, n BIGINT NOT NULL, since TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = 'f', 'format' = 'csv');
CREATE TABLE s (a INT, b STRING) WITH ('connector' = 'print');
SELECT aa FROM t;
SELECT t.bb FROM t;
SELECT tt.b FROM t;
SELECT A FROM t;
SELECT r.z FROM t;
SELECT b.x FROM t;
SELECT * FROM tt;
INSERT INTO ss SELECT a, b FROM t;
INSERT INTO s (a, bee) SELECT a, b FROM t;
SELECT a FROM t JOIN f ON t.a = f.a;
SELECT UPER(b) FROM t;
SELECT LISTAGG(b) FROM t;
SELECT b FROM TABLE(TUMBEL(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR));
