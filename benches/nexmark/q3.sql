-- Who sells in one category, in three states.

CREATE TABLE results (
  name STRING,
  city STRING,
  state STRING,
  id BIGINT
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nexmark-q3',
  'format'    = 'json'
);

INSERT INTO results
SELECT p.name, p.city, p.state, a.id
FROM auction AS a
JOIN person AS p ON a.seller = p.id
WHERE a.category = 10 AND (p.state = 'OR' OR p.state = 'ID' OR p.state = 'CA');
