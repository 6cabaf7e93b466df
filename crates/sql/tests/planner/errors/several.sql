-- Several mistakes in one statement: each is reported once, and nothing that follows from it.
CREATE TABLE t (a INT, b STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE u (a INT, c STRING) WITH ('connector' = 'kafka', 'topic' = 'u', 'format' = 'json');
CREATE TABLE s (a INT, b STRING) WITH ('connector' = 'print');
-- Every item, condition and key.
SELECT aa, UPER(b), a + b, b
FROM t
WHERE bb = 'x' AND a LIKE 'y' AND UPPER(b) = 'X'
GROUP BY cc, b
HAVING COUNT(*) > 'x' AND dd;
-- Both sides of an operator, all arguments, the branches of a CASE.
SELECT aa + bb, CONCAT(cc, UPER(b), b), CASE WHEN a THEN dd ELSE ee END, COALESCE(a, ff) FROM t;
-- The columns of a table that is not there are not reported; what stands beside them is.
SELECT x.a, x.nothing, t.bb, LOWERR(x.a) FROM tt AS x JOIN t ON x.id = t.id;
-- Every sub-query, and not the columns that they would have given.
WITH f AS (SELECT aa AS n FROM t), two AS (SELECT a, UPER(b) AS v FROM t)
SELECT f.n, two.v, three.k, SUMM(two.a) FROM f, two, (SELECT cc AS k FROM u WHERE dd > 1) AS three;
SELECT a FROM t WHERE a IN (SELECT aa FROM u WHERE zz = 1) AND EXISTS (SELECT 1 FROM uu) AND b = 5;
-- Both sides of a set operation.
SELECT aa FROM t UNION ALL SELECT cc FROM u;
-- Windows: the descriptor and the sizes.
SELECT window_start, COUNT(*), bb FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(tss), 5)) GROUP BY window_start, window_end;
SELECT TUMBLE_START(ts, INTERVAL '1' HOUR), aa FROM t GROUP BY TUMBLE(b, INTERVAL '1' HOUR);
-- The table and the query of an INSERT.
INSERT INTO ss SELECT aa, b FROM t;
INSERT INTO s (a, bb, a) SELECT a, b, UPER(b) FROM t;
INSERT INTO s SELECT b, ts FROM t;
-- Columns that are not grouped.
SELECT a, b, COUNT(*), ts FROM t GROUP BY b;
-- A declaration with everything wrong.
CREATE TABLE w (
  x INTEGR,
  y STRING,
  z AS UPER(y),
  v AS x + 1,
  k BIGINT METADATA FROM 'ofset',
  WATERMARK FOR y AS yy,
  PRIMARY KEY (q, x) NOT ENFORCED
) WITH ('connector' = 'kafka', 'topc' = 'w', 'format' = 'jsn', 'scan.startup.mode' = 'erliest');
CREATE TABLE w2 (
  y STRING,
  z AS UPER(y),
  k BIGINT METADATA FROM 'ofset',
  PRIMARY KEY (q, z) NOT ENFORCED,
  WATERMARK FOR y AS yy
) WITH ('connector' = 'kafka', 'topc' = 'w', 'format' = 'jsn', 'scan.startup.mode' = 'erliest');
CREATE TABLE w3 (y STRING, z AS UPER(y)) WITH ('connector' = 'kafak');
-- Statement sets, member by member.
EXECUTE STATEMENT SET BEGIN
  INSERT INTO s SELECT aa, b FROM t;
  INSERT INTO s SELECT a, bb FROM t;
  INSERT INTO s SELECT a, b FROM t;
END;
-- What a broken view or table has is not reported again.
CREATE VIEW v AS SELECT aa, bb FROM t;
SELECT aa, UPER(cc) FROM v;
SELECT y, UPER(z) FROM w;
