-- Windows that are worked on as such: sessions, cumulating ones, Top-N, joins, and windows of windows.
CREATE TABLE bids (
  auction BIGINT, bidder BIGINT, price BIGINT, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'bids', 'format' = 'json');
CREATE TABLE instants (
  auction BIGINT, price BIGINT, ts TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'instants', 'format' = 'json');
CREATE TABLE counts (window_start TIMESTAMP(3), window_end TIMESTAMP(3), auction BIGINT, n BIGINT)
WITH ('connector' = 'print');
CREATE TABLE pairs (window_start TIMESTAMP(3), window_end TIMESTAMP(3), n BIGINT, m BIGINT)
WITH ('connector' = 'print');
INSERT INTO counts
SELECT window_start, window_end, auction, COUNT(*)
FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '1' HOUR, INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, auction;
INSERT INTO counts
SELECT window_start, window_end, auction, SUM(price)
FROM TABLE(SESSION(TABLE bids PARTITION BY auction, DESCRIPTOR(ts), INTERVAL '30' SECOND))
GROUP BY window_start, window_end, auction;
-- The legacy form, by something computed.
INSERT INTO counts
SELECT SESSION_START(ts, INTERVAL '30' SECOND), SESSION_END(ts, INTERVAL '30' SECOND), MOD(auction, 10), COUNT(*)
FROM bids GROUP BY MOD(auction, 10), SESSION(ts, INTERVAL '30' SECOND);
-- Rows with their sessions, whose bounds follow the session's clock.
SET 'table.local-time-zone' = '+02:00';
INSERT INTO counts
SELECT window_start, window_end, auction, price
FROM TABLE(SESSION(TABLE instants PARTITION BY (auction), DESCRIPTOR(ts), INTERVAL '30' SECOND));
-- The three busiest auctions of each window, with their number.
INSERT INTO counts
SELECT window_start, window_end, auction, place FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC, auction) AS place
  FROM (
    SELECT window_start, window_end, auction, COUNT(*) AS n
    FROM TABLE(HOP(TABLE instants, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '10' MINUTE))
    GROUP BY window_start, window_end, auction
  )
) WHERE place <= 3;
RESET 'table.local-time-zone';
-- The last bid on each auction in each window, and how many rows that makes.
INSERT INTO counts
SELECT window_start, window_end, MAX(auction), COUNT(*) FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, auction ORDER BY ts DESC) AS place
  FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE))
) WHERE place = 1 GROUP BY window_start, window_end;
-- An aggregate over the aggregate of the same window, joined with it.
INSERT INTO counts
WITH counted AS (
  SELECT window_start, window_end, auction, COUNT(*) AS n
  FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end, auction
)
SELECT counted.window_start, counted.window_end, counted.auction, counted.n
FROM counted JOIN (SELECT window_start, window_end, MAX(n) AS n FROM counted GROUP BY window_start, window_end) AS most
  ON counted.window_start = most.window_start AND counted.window_end = most.window_end AND counted.n >= most.n
WHERE counted.auction > 7;
INSERT INTO pairs
SELECT COALESCE(a.window_start, b.window_start), COALESCE(a.window_end, b.window_end), a.price, b.price
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) AS a
FULL JOIN (SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE price > 5) AS b
  ON a.auction = b.bidder AND a.window_start = b.window_start AND a.window_end = b.window_end;
-- What is computed of the bounds before the aggregate.
INSERT INTO counts
SELECT window_start, window_end, auction, MAX(CAST(DATE_FORMAT(window_end, 'dd') AS BIGINT) + price)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY auction, window_start, window_end;
-- One bound alone is a column like others.
CREATE TABLE totals (window_end TIMESTAMP(3), n BIGINT, PRIMARY KEY (window_end) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json', 'value.format' = 'json');
INSERT INTO totals SELECT window_end, COUNT(*)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_end;
-- Grouping sets, with windows and without.
INSERT INTO counts
SELECT window_start, window_end, auction, COUNT(*)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE))
GROUP BY window_start, window_end, GROUPING SETS ((auction), ());
CREATE TABLE sums (auction BIGINT, bidder BIGINT, price BIGINT) WITH ('connector' = 'print');
INSERT INTO sums SELECT auction, bidder, SUM(price) FROM bids GROUP BY CUBE (auction, bidder) HAVING SUM(price) > 7;
INSERT INTO sums SELECT MOD(auction, 10), bidder, SUM(price) FROM bids GROUP BY ROLLUP (MOD(auction, 10), bidder);
