-- Several mistakes of syntax in one definition are all told.
CREATE TABLE several (
  a INT,,
  b NOPE<>,
  c INT FOO,
  d DECIMAL(10, 2
    ,
  e STRING
) WITH ('connector' = 'print');
CREATE TABLE more (
  a INTT(5),
  b STRING DEFAULT 'x',
  PRIMARY KEY (a),
  c AS ,
  WATERMARK FOR ts ts - INTERVAL '5' SECOND,
  e STRING
) WITH (connector = 'print', 'topic' 't', 'format' = json, 'x' = 'y');
CREATE TABLE open_ended (a INT, b NOPE NOPE, c STRING WITH ('connector' = 'print');
SELECT a, b FROM more;
