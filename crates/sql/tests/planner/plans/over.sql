CREATE TABLE t (id INT, k STRING, v INT, d DECIMAL(8, 2), ts TIMESTAMP(3), p AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
CREATE TABLE u (id INT, v INT, n BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'u', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE s (k STRING, n BIGINT, place BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 's', 'key.format' = 'json', 'value.format' = 'json');
-- One window, several calls; the average is a sum by a count.
SELECT id, SUM(v) OVER w AS total, AVG(v) OVER w AS average, LAG(v, 2, 0) OVER w AS before_it
FROM t WINDOW w AS (PARTITION BY k ORDER BY ts);
SELECT id, STDDEV_SAMP(d) OVER (ORDER BY ts RANGE BETWEEN INTERVAL '90' MINUTE PRECEDING AND CURRENT ROW) FROM t WHERE v > 1;
-- Processing time leaves at once, but for a range of it.
SELECT id, COUNT(*) OVER (PARTITION BY k ORDER BY p) FROM t;
SELECT id, MAX(v) OVER (PARTITION BY k ORDER BY p RANGE INTERVAL '5' SECOND PRECEDING) FROM t;
-- All numbers; a bound makes a Top-N of it, and a filter on the partition goes below.
SELECT id, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) FROM t;
SELECT id, n FROM (SELECT id, k, SUM(v) OVER (PARTITION BY k ORDER BY ts) AS n FROM t) WHERE k = 'x' AND n > 3;
-- An order that is no time updates, by the key of what comes in.
INSERT INTO u SELECT id, v, RANK() OVER (ORDER BY v) FROM u;
INSERT INTO s SELECT k, COUNT(*), SUM(COUNT(*)) OVER (ORDER BY COUNT(*)) FROM t GROUP BY k;
-- OVER the results of a window, whose time goes on.
SELECT k, window_end, SUM(n) OVER (PARTITION BY k ORDER BY window_time) FROM (
  SELECT k, window_start, window_end, window_time, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR))
  GROUP BY k, window_start, window_end, window_time
);
-- Variances are computed from squared deviations, and lists keep their values.
SELECT k, STDDEV_POP(v), VAR_SAMP(d), LISTAGG(DISTINCT k, ';'), PERCENTILE(v, ARRAY[0.5, 0.9]), COLLECT(v) FROM t GROUP BY k;
SELECT k, GROUPING(k), GROUP_ID(), GROUPING_ID(k, v), COUNT(*) FROM t GROUP BY ROLLUP (k, v);
