-- The bids for some auctions.

CREATE TABLE results (
  auction BIGINT,
  price BIGINT
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nexmark-q2',
  'format'    = 'json'
);

INSERT INTO results
SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0;
