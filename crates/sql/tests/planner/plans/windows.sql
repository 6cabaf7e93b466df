-- Windows of all forms.
CREATE TABLE bids (
  auction BIGINT, bidder BIGINT, price BIGINT, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'bids', 'format' = 'json');
CREATE TABLE counts (window_start TIMESTAMP(3), window_end TIMESTAMP(3), auction BIGINT, n BIGINT)
WITH ('connector' = 'print');
INSERT INTO counts
SELECT window_start, window_end, auction, COUNT(*)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, auction;
-- By name, with an offset, over a filtered sub-query, with HAVING and an expression over aggregates.
INSERT INTO counts
SELECT window_start, window_end, MOD(auction, 10), MAX(price) - MIN(price)
FROM (
  SELECT * FROM TABLE(HOP(DATA => TABLE bids, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '5' SECOND,
                          SIZE => INTERVAL '1' MINUTE, OFFSET => INTERVAL '2' SECOND))
  WHERE price > 10
)
GROUP BY MOD(auction, 10), window_start, window_end
HAVING COUNT(DISTINCT bidder) FILTER (WHERE price > 100) > 2;
-- The legacy form.
INSERT INTO counts
SELECT TUMBLE_START(ts, INTERVAL '1' MINUTE), TUMBLE_END(ts, INTERVAL '1' MINUTE), auction, COUNT(*)
FROM bids GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), auction;
-- A window of windows over window_time, and a window without an aggregate.
INSERT INTO counts
WITH small AS (
  SELECT window_time AS t, auction, COUNT(*) AS n
  FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end, window_time, auction
)
SELECT window_start, window_end, auction, SUM(n)
FROM TABLE(TUMBLE(TABLE small, DESCRIPTOR(t), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, auction;
INSERT INTO counts SELECT window_start, window_end, auction, price
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE price > 5;
-- On processing time: the clock's watermark stands below the window, in both forms.
CREATE TABLE clicks (k STRING, seen AS PROCTIME()) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json');
CREATE TABLE seen (window_start TIMESTAMP(3), k STRING, n BIGINT) WITH ('connector' = 'print');
INSERT INTO seen SELECT window_start, k, COUNT(*)
FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(seen), INTERVAL '1' SECOND, INTERVAL '5' SECOND)) GROUP BY window_start, window_end, k;
INSERT INTO seen SELECT SESSION_START(seen, INTERVAL '5' SECOND), k, COUNT(*)
FROM clicks WHERE k <> 'x' GROUP BY SESSION(seen, INTERVAL '5' SECOND), k;
-- Instants are windowed on the session's clock.
SET 'table.local-time-zone' = 'GMT+02:00';
CREATE TABLE instants (v INT, taken TIMESTAMP_LTZ(3), WATERMARK FOR taken AS taken)
WITH ('connector' = 'kafka', 'topic' = 'instants', 'format' = 'json');
SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE instants, DESCRIPTOR(taken), INTERVAL '1' DAY))
GROUP BY window_start, window_end;
