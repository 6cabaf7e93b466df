-- Every bid as it is: what reading and writing cost.

CREATE TABLE results (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  `dateTime` TIMESTAMP(3),
  extra STRING
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nexmark-q0',
  'format'    = 'json'
);

INSERT INTO results
SELECT auction, bidder, price, `dateTime`, extra FROM bid;
