-- The auctions with the most bids of the last ten seconds, every two seconds.

CREATE TABLE results (
  auction BIGINT,
  num BIGINT
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nexmark-q5',
  'format'    = 'json'
);

INSERT INTO results
SELECT counted.auction, counted.num
FROM (
  SELECT auction, COUNT(*) AS num, window_start, window_end
  FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
  GROUP BY auction, window_start, window_end
) AS counted
JOIN (
  SELECT MAX(num) AS most, window_start, window_end
  FROM (
    SELECT COUNT(*) AS num, window_start, window_end
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
  )
  GROUP BY window_start, window_end
) AS top
  ON counted.window_start = top.window_start AND counted.window_end = top.window_end AND counted.num >= top.most;
