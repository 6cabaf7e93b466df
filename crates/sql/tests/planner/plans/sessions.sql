-- Aggregates of sessions: which keep sums, and which keep rows.
CREATE TABLE bids (
  auction BIGINT, bidder BIGINT, price BIGINT, note STRING, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'bids', 'format' = 'json');
CREATE TABLE counts (bidder BIGINT, n BIGINT, starts TIMESTAMP(3), ends TIMESTAMP(3)) WITH ('connector' = 'print');
CREATE TABLE texts (bidder BIGINT, n STRING) WITH ('connector' = 'print');
CREATE TEMPORARY VIEW sessions AS
SELECT * FROM TABLE(SESSION(TABLE bids PARTITION BY bidder, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- As Nexmark has it, and without a key.
INSERT INTO counts
SELECT bidder, COUNT(*), SESSION_START(ts, INTERVAL '10' SECOND), SESSION_END(ts, INTERVAL '10' SECOND)
FROM bids GROUP BY bidder, SESSION(ts, INTERVAL '10' SECOND);
INSERT INTO counts
SELECT MAX(bidder), COUNT(*), SESSION_START(ts, INTERVAL '10' SECOND), SESSION_END(ts, INTERVAL '10' SECOND)
FROM bids GROUP BY SESSION(ts, INTERVAL '10' SECOND);
-- Keys in any order and twice, something computed, FILTER, and conditions on keys, bounds and results.
INSERT INTO counts
SELECT bidder, MAX(price + 1) FILTER (WHERE note IS NOT NULL), window_start, window_end
FROM sessions WHERE bidder > 7
GROUP BY window_end, bidder, window_start HAVING window_end > TIMESTAMP '2026-01-01 00:00:00' AND COUNT(price) > 1;
INSERT INTO counts
SELECT MAX(auction), MIN(n), window_start, window_end FROM (
  SELECT auction, bidder, price * 2 AS n, window_start, window_end
  FROM TABLE(SESSION(TABLE bids PARTITION BY (auction, bidder), DESCRIPTOR(ts), INTERVAL '10' SECOND))
) GROUP BY bidder, auction, window_start, window_end;
-- A computed key.
INSERT INTO counts
SELECT MOD(bidder, 10), SUM(price), SESSION_START(ts, INTERVAL '10' SECOND), SESSION_END(ts, INTERVAL '10' SECOND)
FROM bids GROUP BY MOD(bidder, 10), SESSION(ts, INTERVAL '10' SECOND) HAVING MOD(bidder, 10) = 3;
-- The time of the sessions goes on: windows of them, and the time of each.
INSERT INTO counts
SELECT bidder, n, window_start, window_end FROM (
  SELECT bidder, n, window_start, window_end,
    ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC) AS place
  FROM (SELECT bidder, COUNT(*) AS n, window_start, window_end FROM sessions GROUP BY bidder, window_start, window_end)
) WHERE place = 1;
INSERT INTO counts
WITH sums AS (
  SELECT bidder, COUNT(*) AS n, SESSION_ROWTIME(ts, INTERVAL '10' SECOND) AS ts
  FROM bids GROUP BY bidder, SESSION(ts, INTERVAL '10' SECOND)
)
SELECT bidder, SUM(n), TUMBLE_START(ts, INTERVAL '1' MINUTE), TUMBLE_END(ts, INTERVAL '1' MINUTE)
FROM sums GROUP BY bidder, TUMBLE(ts, INTERVAL '1' MINUTE);
-- A condition on rows in between makes other sums, but no other sessions.
INSERT INTO counts
SELECT bidder, COUNT(*), window_start, window_end FROM sessions WHERE price > 5 GROUP BY bidder, window_start, window_end;
-- A key more, one less, and one that is not of the rows.
INSERT INTO counts
SELECT auction, COUNT(*), window_start, window_end FROM sessions GROUP BY auction, bidder, window_start, window_end;
INSERT INTO counts
SELECT MAX(bidder), COUNT(*), window_start, window_end FROM sessions GROUP BY window_start, window_end;
INSERT INTO counts
SELECT bidder, COUNT(*), window_start, window_end FROM sessions
GROUP BY bidder, window_start, window_end, DATE_FORMAT(window_start, 'dd');
-- Arguments of the bounds, and of the clock.
INSERT INTO texts
SELECT bidder, MAX(DATE_FORMAT(window_end, 'dd')) FROM sessions GROUP BY bidder, window_start, window_end;
INSERT INTO texts
SELECT bidder, MAX(DATE_FORMAT(CURRENT_TIMESTAMP, note)) FROM sessions GROUP BY bidder, window_start, window_end;
-- What is drawn is drawn once for each row, and one draw is not another: the first can be added up, the second not.
CREATE TEMPORARY VIEW draws AS
SELECT * FROM TABLE(SESSION(TABLE (SELECT RAND_INTEGER(2) AS a, RAND_INTEGER(2) AS b, ts FROM bids) PARTITION BY (a, b), DESCRIPTOR(ts), INTERVAL '10' SECOND));
INSERT INTO counts SELECT a, SUM(b), window_start, window_end FROM draws GROUP BY b, a, window_start, window_end;
INSERT INTO counts SELECT a, COUNT(*), window_start, window_end FROM draws GROUP BY a, window_start, window_end;
-- All values are kept anyway.
INSERT INTO counts
SELECT bidder, COUNT(DISTINCT price), window_start, window_end FROM sessions GROUP BY bidder, window_start, window_end;
INSERT INTO texts
SELECT bidder, LISTAGG(note) FROM sessions GROUP BY bidder, window_start, window_end;
