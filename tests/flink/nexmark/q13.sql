-- What q13 comes to: the file does not change, so the time of the look-up does not matter. Flink looks up in no file.

CREATE TABLE side_input (
  key BIGINT,
  `value` STRING
) WITH (
  'connector' = 'filesystem',
  'path'      = 'benches/nexmark/side_input.csv',
  'format'    = 'csv'
);

CREATE TABLE results (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  `dateTime` TIMESTAMP(3),
  `value` STRING
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nexmark-q13',
  'format'    = 'json'
);

INSERT INTO results
SELECT b.auction, b.bidder, b.price, b.`dateTime`, s.`value`
FROM bid AS b
JOIN side_input AS s ON MOD(b.auction, 10000) = s.key;
