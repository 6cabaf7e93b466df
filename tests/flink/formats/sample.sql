-- The rows that both sides write.

CREATE TABLE sample (
  id     BIGINT,
  yes    BOOLEAN,
  i      INT,
  f      FLOAT,
  d      DOUBLE,
  s      STRING,
  bin    BYTES,
  price  DECIMAL(12, 3),
  `day`  DATE,
  `at`   TIMESTAMP(3),
  clock  TIME,
  names  ARRAY<STRING>,
  counts MAP<STRING, INT>,
  `inner` ROW<x INT, y STRING>
) WITH (
  'connector' = 'filesystem',
  'path'      = '${folder}/sample.json',
  'format'    = 'json'
);
