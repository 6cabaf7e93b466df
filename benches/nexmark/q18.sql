-- The last bid of each bidder for each auction.

-- It keeps what it shows: so much of that in memory, and the rest on the disk.
SET 'taskmanager.memory.managed.size' = '24mb';

CREATE TABLE results (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  channel STRING,
  url STRING,
  `dateTime` TIMESTAMP(3),
  extra STRING,
  PRIMARY KEY (bidder, auction) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'nexmark-q18',
  'key.format'   = 'json',
  'value.format' = 'json'
);

INSERT INTO results
SELECT auction, bidder, price, channel, url, `dateTime`, extra
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY `dateTime` DESC) AS place
  FROM bid
)
WHERE place <= 1;
