-- The average of the winning bids of each category.

CREATE TABLE results (
  id BIGINT,
  final BIGINT,
  PRIMARY KEY (id) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'nexmark-q4',
  'key.format'   = 'json',
  'value.format' = 'json'
);

INSERT INTO results
SELECT category, AVG(final)
FROM (
  SELECT /*+ BROADCAST(a) */ MAX(b.price) AS final, a.category
  FROM auction AS a, bid AS b
  WHERE a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires
  GROUP BY a.id, a.category
)
GROUP BY category;
