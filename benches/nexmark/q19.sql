-- The ten highest bids for each auction.

-- It keeps what it shows: so much of that in memory, and the rest on the disk.
SET 'taskmanager.memory.managed.size' = '32mb';

CREATE TABLE results (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  channel STRING,
  url STRING,
  `dateTime` TIMESTAMP(3),
  extra STRING,
  place BIGINT,
  PRIMARY KEY (auction, place) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'nexmark-q19',
  'key.format'   = 'json',
  'value.format' = 'json'
);

INSERT INTO results
SELECT auction, bidder, price, channel, url, `dateTime`, extra, place
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC) AS place
  FROM bid
)
WHERE place <= 10;
