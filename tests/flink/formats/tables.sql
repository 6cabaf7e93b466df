-- One table for each format whose bytes have a schema of their own; `${writer}` is who writes them.

CREATE TABLE ${writer}_avro (
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
  'connector'           = 'kafka',
  'topic'               = '${writer}-avro',
  'scan.startup.mode'   = 'earliest-offset',
  'scan.bounded.mode'   = 'latest-offset',
  'format'              = 'avro-confluent',
  'avro-confluent.url'  = '${registry}'
);

-- Key and value have schemas of their own, under subjects of their own.
CREATE TABLE ${writer}_keyed (
  k BIGINT,
  s STRING
) WITH (
  'connector'                    = 'kafka',
  'topic'                        = '${writer}-keyed',
  'scan.startup.mode'            = 'earliest-offset',
  'scan.bounded.mode'            = 'latest-offset',
  'key.format'                   = 'avro-confluent',
  'key.avro-confluent.url'       = '${registry}',
  'key.fields'                   = 'k',
  'value.format'                 = 'avro-confluent',
  'value.avro-confluent.url'     = '${registry}',
  'value.avro-confluent.subject' = '${writer}-keyed-own',
  'value.fields-include'         = 'EXCEPT_KEY'
);

CREATE TABLE ${writer}_changes (
  s STRING,
  n BIGINT
) WITH (
  'connector'                    = 'kafka',
  'topic'                        = '${writer}-changes',
  'scan.startup.mode'            = 'earliest-offset',
  'scan.bounded.mode'            = 'latest-offset',
  'format'                       = 'debezium-avro-confluent',
  'debezium-avro-confluent.url'  = '${registry}'
);

CREATE TABLE ${writer}_protobuf (
  id     BIGINT,
  yes    BOOLEAN,
  i      INT,
  f      FLOAT,
  d      DOUBLE,
  s      STRING,
  bin    BYTES,
  names  ARRAY<STRING>,
  counts MAP<STRING, INT>,
  `inner` ROW<x INT, y STRING>
) WITH (
  'connector'                   = 'kafka',
  'topic'                       = '${writer}-protobuf',
  'scan.startup.mode'           = 'earliest-offset',
  'scan.bounded.mode'           = 'latest-offset',
  'format'                      = 'protobuf',
  'protobuf.message-class-name' = 'sample.Sample'
);

-- Avro's own container files.
CREATE TABLE ${writer}_files (
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
  'path'      = '${folder}/${writer}-files',
  'format'    = 'avro'
);

CREATE TABLE ${writer}_parquet (
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
  'connector'            = 'filesystem',
  'path'                 = '${folder}/${writer}-parquet',
  'format'               = 'parquet',
  'parquet.utc-timezone' = 'true',
  'parquet.write.int64.timestamp' = 'true'
);
