-- How many bids each bidder makes in ten seconds of the machine's clock.

CREATE TABLE results (
  bidder BIGINT,
  bid_count BIGINT,
  starttime TIMESTAMP(3),
  endtime TIMESTAMP(3)
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nexmark-q12',
  'format'    = 'json'
);

CREATE VIEW timed_bid AS SELECT *, PROCTIME() AS p_time FROM bid;

INSERT INTO results
SELECT bidder, COUNT(*), window_start, window_end
FROM TABLE(TUMBLE(TABLE timed_bid, DESCRIPTOR(p_time), INTERVAL '10' SECOND))
GROUP BY bidder, window_start, window_end;
