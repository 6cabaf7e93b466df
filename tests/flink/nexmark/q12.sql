-- What q12 comes to over all of its windows. Flink fires no window on processing time that is open when the input ends,
-- so there is no q12 of Flink over events that end.

CREATE TABLE results (
  bidder BIGINT,
  bid_count BIGINT,
  PRIMARY KEY (bidder) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'nexmark-q12',
  'key.format'   = 'json',
  'value.format' = 'json'
);

INSERT INTO results SELECT bidder, COUNT(*) FROM bid GROUP BY bidder;
