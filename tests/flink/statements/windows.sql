-- Window table functions and legacy group windows on event time.
SELECT window_start, window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, window_time, auction, bidder FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND));
SELECT auction, window_start, window_end, SUM(price), MAX(qty) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, auction;
SELECT window_start, window_end, window_time, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, window_time;
SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start;
SELECT window_start, window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '3' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*) FROM TABLE(TUMBLE(DATA => TABLE bids, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(DISTINCT bidder), COUNT(*) FILTER (WHERE qty > 1) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, AVG(price), MIN(price), MAX(price), SUM(qty), COUNT(qty) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, FIRST_VALUE(bidder), LAST_VALUE(bidder) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, LISTAGG(bidder) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, auction, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND)) GROUP BY window_start, window_end, auction HAVING COUNT(*) > 1;
SELECT window_start, window_end, auction, bidder, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY GROUPING SETS ((window_start, window_end, auction), (window_start, window_end, bidder), (window_start, window_end));
SELECT window_start, window_end, auction, COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, ROLLUP (auction);
SELECT window_start, window_end, COUNT(*) FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, auction, MAX(price) FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, auction;
SELECT window_start, window_end, auction, ts FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '1' MINUTE)) WHERE auction = 3;
SELECT window_start, window_end, COUNT(*) FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '25' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*) FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND, INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*) FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, auction, SUM(qty) FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '15' SECOND, INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, auction;
SELECT window_start, window_end, COUNT(DISTINCT auction) FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND, INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
SELECT window_start, window_end, auction FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '15' SECOND, INTERVAL '30' SECOND)) WHERE auction = 5;
SELECT window_start, window_end, COUNT(*) FROM TABLE(SESSION(TABLE bids, DESCRIPTOR(ts), INTERVAL '6' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, bidder, COUNT(*) FROM TABLE(SESSION(TABLE bids PARTITION BY bidder, DESCRIPTOR(ts), INTERVAL '15' SECOND)) GROUP BY window_start, window_end, bidder;
SELECT window_start, window_end, auction, SUM(price), LAST_VALUE(bidder) FROM TABLE(SESSION(TABLE bids PARTITION BY auction, DESCRIPTOR(ts), INTERVAL '20' SECOND)) GROUP BY window_start, window_end, auction;
-- Late rows: per window.
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(TUMBLE(TABLE late, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(TUMBLE(TABLE late, DESCRIPTOR(ts), INTERVAL '20' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, k, COUNT(*), SUM(v) FROM TABLE(HOP(TABLE late, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND)) GROUP BY window_start, window_end, k;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(CUMULATE(TABLE late, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND)) GROUP BY window_start, window_end;
SELECT window_start, window_end, k, COUNT(*), SUM(v) FROM TABLE(SESSION(TABLE late PARTITION BY k, DESCRIPTOR(ts), INTERVAL '4' SECOND)) GROUP BY window_start, window_end, k;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(SESSION(TABLE late, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
SELECT id, k, window_start, window_end FROM TABLE(TUMBLE(TABLE late, DESCRIPTOR(ts), INTERVAL '5' SECOND));
-- Legacy group windows.
SELECT TUMBLE_START(ts, INTERVAL '10' SECOND), COUNT(*) FROM bids GROUP BY TUMBLE(ts, INTERVAL '10' SECOND);
SELECT TUMBLE_START(ts, INTERVAL '10' SECOND) AS s, TUMBLE_END(ts, INTERVAL '10' SECOND) AS e, TUMBLE_ROWTIME(ts, INTERVAL '10' SECOND) AS r, auction, SUM(price) FROM bids GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), auction;
SELECT HOP_START(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) AS s, HOP_END(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) AS e, COUNT(*) FROM bids GROUP BY HOP(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND);
SELECT bidder, SESSION_START(ts, INTERVAL '15' SECOND) AS s, SESSION_END(ts, INTERVAL '15' SECOND) AS e, COUNT(*) FROM bids GROUP BY bidder, SESSION(ts, INTERVAL '15' SECOND);
SELECT k, TUMBLE_START(ts, INTERVAL '5' SECOND) AS s, COUNT(*) FROM late GROUP BY k, TUMBLE(ts, INTERVAL '5' SECOND);
SELECT k, SESSION_START(ts, INTERVAL '4' SECOND) AS s, SESSION_END(ts, INTERVAL '4' SECOND) AS e, SUM(v) FROM late GROUP BY k, SESSION(ts, INTERVAL '4' SECOND);
-- Windows over windows.
SELECT window_start, window_end, MAX(n) FROM (SELECT window_start AS s, window_end AS e, window_time AS t, auction, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, window_time, auction) GROUP BY s, e;
SELECT s, e, MAX(n) FROM (SELECT window_start AS s, window_end AS e, auction, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, auction) GROUP BY s, e;
WITH w AS (SELECT window_time AS t, auction, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, window_time, auction) SELECT window_start, window_end, SUM(n) FROM TABLE(TUMBLE(TABLE w, DESCRIPTOR(t), INTERVAL '30' SECOND)) GROUP BY window_start, window_end;
-- Top-N and deduplication per window.
SELECT * FROM (SELECT auction, bidder, price, window_start, window_end, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND))) WHERE n <= 2;
SELECT auction, price, window_end FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, auction ORDER BY price DESC) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) WHERE n = 1;
SELECT auction, bidder, window_end FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, auction ORDER BY ts DESC) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND))) WHERE n = 1;
SELECT auction, bidder, window_end FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, auction ORDER BY ts ASC) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND))) WHERE n <= 1;
SELECT * FROM (SELECT window_start, window_end, auction, n, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC, auction) AS r FROM (SELECT window_start, window_end, auction, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '30' SECOND)) GROUP BY window_start, window_end, auction)) WHERE r <= 2;
-- Window joins.
SELECT l.id, r.id, l.window_start FROM (SELECT * FROM TABLE(TUMBLE(TABLE late, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) AS l JOIN (SELECT * FROM TABLE(TUMBLE(TABLE auctions, DESCRIPTOR(opens), INTERVAL '1' MINUTE))) AS r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.id = r.id;
SELECT b.auction, a.item, b.price, b.window_start FROM (SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) AS b LEFT JOIN (SELECT * FROM TABLE(TUMBLE(TABLE auctions, DESCRIPTOR(opens), INTERVAL '1' MINUTE))) AS a ON b.auction = a.id AND b.window_start = a.window_start AND b.window_end = a.window_end;
SELECT b.auction, a.item, b.price, b.window_start, a.window_end FROM (SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) AS b FULL JOIN (SELECT * FROM TABLE(TUMBLE(TABLE auctions, DESCRIPTOR(opens), INTERVAL '1' MINUTE))) AS a ON b.auction = a.id AND b.window_start = a.window_start AND b.window_end = a.window_end;
SELECT b.auction, b.price FROM (SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) AS b WHERE b.auction IN (SELECT id FROM (SELECT * FROM TABLE(TUMBLE(TABLE auctions, DESCRIPTOR(opens), INTERVAL '1' MINUTE))) AS a WHERE a.window_start = b.window_start AND a.window_end = b.window_end);
SELECT b.auction, b.price FROM (SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) AS b WHERE NOT EXISTS (SELECT id FROM (SELECT * FROM TABLE(TUMBLE(TABLE auctions, DESCRIPTOR(opens), INTERVAL '1' MINUTE))) AS a WHERE a.window_start = b.window_start AND a.window_end = b.window_end AND a.id = b.auction);
