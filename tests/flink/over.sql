-- Aggregates OVER windows, and aggregates of every kind in groups and windows, over a month of flights. Each result is
-- in a topic of its own.
--
-- The rows of the file come in the order of their event time but for three hours. What reads `arriving_events` has
-- nothing late; `impatient_events` waits for ten minutes only, and judges row by row. Numbers of floating point are
-- rounded: a sum that goes on for a month may differ in its last digits.

SET 'table.dml-sync' = 'true';
-- After every row, so that Flink too judges lateness row by row.
SET 'pipeline.auto-watermark-interval' = '0ms';

CREATE TABLE arriving_events (
  event_id   STRING,
  event_type STRING,        -- scheduled, departed, arrived or cancelled
  event_time TIMESTAMP(3),
  carrier    STRING,
  flight     INT,
  tailnum    STRING,
  origin     STRING,
  dest       STRING,
  dep_delay  INT,
  arr_delay  INT,
  distance   INT,
  WATERMARK FOR event_time AS event_time - INTERVAL '3' HOUR
) WITH (
  'connector' = 'filesystem',
  'path'      = 'examples/flights/data/events.json.gz',
  'format'    = 'json'
);

CREATE TABLE impatient_events (
  event_id   STRING,
  event_type STRING,
  event_time TIMESTAMP(3),
  carrier    STRING,
  dep_delay  INT,
  WATERMARK FOR event_time AS event_time - INTERVAL '10' MINUTE
) WITH (
  'connector' = 'filesystem',
  'path'      = 'examples/flights/data/events.json.gz',
  'format'    = 'json'
);

CREATE VIEW departures AS SELECT * FROM arriving_events WHERE event_type = 'departed';
CREATE VIEW some_departures AS
SELECT *, CAST(dep_delay AS DOUBLE) AS minutes, CAST(distance AS DECIMAL(8, 2)) AS miles
FROM departures WHERE carrier IN ('FL', 'VX', 'HA', 'YV');

-- Frames of rows: the last three of each plane.
CREATE TABLE last_three (
  event_id STRING, flights BIGINT, late INT, average INT, least INT, most INT, first_dest STRING, last_dest STRING,
  dests BIGINT, path STRING, miles DECIMAL(38, 2)
) WITH ('connector' = 'kafka', 'topic' = 'over-last-three', 'format' = 'json');

-- Frames of time: what left an airport in the six hours before.
CREATE TABLE six_hours (
  event_id STRING, flights BIGINT, late INT, average DOUBLE, deviation DECIMAL(38, 6), most INT, median DOUBLE, carriers BIGINT
) WITH ('connector' = 'kafka', 'topic' = 'over-six-hours', 'format' = 'json');

-- All rows so far, those of one moment together; and one by one.
CREATE TABLE so_far (
  event_id STRING, flights BIGINT, late INT, average INT, variance INT, farthest INT, place BIGINT, before_it INT,
  two_before INT
) WITH ('connector' = 'kafka', 'topic' = 'over-so-far', 'format' = 'json');
CREATE TABLE numbered (event_id STRING, place BIGINT, late INT)
WITH ('connector' = 'kafka', 'topic' = 'over-numbered', 'format' = 'json');
CREATE TABLE all_numbered (event_id STRING, place BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'over-all-numbered', 'format' = 'json');

-- Rows that come late.
CREATE TABLE late_rows (event_id STRING, late BIGINT, least INT)
WITH ('connector' = 'kafka', 'topic' = 'over-late-rows', 'format' = 'json');
CREATE TABLE late_range (event_id STRING, late BIGINT, least INT)
WITH ('connector' = 'kafka', 'topic' = 'over-late-range', 'format' = 'json');
CREATE TABLE late_hours (event_id STRING, late BIGINT, least INT)
WITH ('connector' = 'kafka', 'topic' = 'over-late-hours', 'format' = 'json');

-- OVER the results of windows, and of another OVER.
CREATE TABLE running_hours (window_end TIMESTAMP(3), origin STRING, flights BIGINT, so_far BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'over-running-hours', 'format' = 'json');
CREATE TABLE twice (event_id STRING, of_plane BIGINT, of_all BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'over-twice', 'format' = 'json');

-- An order that is no time: rows change when others come before them.
CREATE TABLE by_delay (
  event_id STRING, dep_delay INT, place BIGINT, PRIMARY KEY (event_id) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'over-by-delay', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE carriers_by_flights (
  carrier STRING, flights BIGINT, place BIGINT, so_far BIGINT, PRIMARY KEY (carrier) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'over-carriers', 'key.format' = 'json', 'value.format' = 'json');

-- Aggregates of every kind over groups, whose rows only come, and whose rows change.
CREATE TABLE carriers (
  carrier STRING, deviation DOUBLE, sample DOUBLE, variance INT, sample_variance DECIMAL(38, 6), origins STRING,
  dests MULTISET<STRING>, planes ARRAY<STRING>, median DOUBLE, parts ARRAY<DOUBLE>, weighted DOUBLE, first_dest STRING,
  last_dest STRING, late_origins STRING,
  PRIMARY KEY (carrier) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'over-groups', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE planes_of_carriers (
  carrier STRING, planes BIGINT, flights MULTISET<STRING>, median DOUBLE, deviation BIGINT, most BIGINT,
  PRIMARY KEY (carrier) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'over-planes', 'key.format' = 'json', 'value.format' = 'json');

-- The same over windows, whose slices are merged.
CREATE TABLE hours (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), carrier STRING, deviation DOUBLE, variance DOUBLE, planes STRING,
  dests ARRAY<STRING>, origins MULTISET<STRING>, median DOUBLE
) WITH ('connector' = 'kafka', 'topic' = 'over-hours', 'format' = 'json');
CREATE TABLE days_so_far (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), carrier STRING, deviation DOUBLE, planes STRING, dests ARRAY<STRING>,
  median DOUBLE
) WITH ('connector' = 'kafka', 'topic' = 'over-days-so-far', 'format' = 'json');
CREATE TABLE sessions (
  session_start TIMESTAMP(3), session_end TIMESTAMP(3), tailnum STRING, path STRING, dests MULTISET<STRING>, deviation INT
) WITH ('connector' = 'kafka', 'topic' = 'over-sessions', 'format' = 'json');

-- Which grouping set a row is of.
CREATE TABLE sets (
  origin STRING, carrier STRING, no_origin BIGINT, no_carrier BIGINT, bits BIGINT, twin BIGINT, flights BIGINT,
  PRIMARY KEY (bits, twin, origin, carrier) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'over-sets', 'key.format' = 'json', 'value.format' = 'json');

EXECUTE STATEMENT SET BEGIN

INSERT INTO last_three
SELECT event_id, COUNT(*) OVER w, SUM(dep_delay) OVER w, AVG(dep_delay) OVER w, MIN(dep_delay) OVER w, MAX(dep_delay) OVER w,
  FIRST_VALUE(dest) OVER w, LAST_VALUE(dest) OVER w, COUNT(DISTINCT dest) OVER w, LISTAGG(dest) OVER w, SUM(miles) OVER w
FROM some_departures
WINDOW w AS (PARTITION BY tailnum ORDER BY event_time ROWS BETWEEN 2 PRECEDING AND CURRENT ROW);

INSERT INTO six_hours
SELECT event_id, COUNT(*) OVER w, SUM(dep_delay) OVER w, AVG(minutes) OVER w, STDDEV_POP(miles) OVER w, MAX(dep_delay) OVER w,
  PERCENTILE(dep_delay, 0.5) OVER w, COUNT(DISTINCT carrier) OVER w
FROM some_departures
WINDOW w AS (PARTITION BY origin ORDER BY event_time RANGE BETWEEN INTERVAL '6' HOUR PRECEDING AND CURRENT ROW);

INSERT INTO so_far
SELECT event_id, COUNT(*) OVER w, SUM(dep_delay) OVER w, AVG(dep_delay) OVER w, VAR_SAMP(dep_delay) OVER w, MAX(distance) OVER w,
  RANK() OVER w, LAG(dep_delay) OVER w, LAG(dep_delay, 2, -1000) OVER w
FROM some_departures
WINDOW w AS (PARTITION BY carrier ORDER BY event_time);

INSERT INTO numbered
SELECT event_id, ROW_NUMBER() OVER (PARTITION BY carrier ORDER BY event_time),
  SUM(dep_delay) OVER (PARTITION BY carrier ORDER BY event_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
FROM some_departures;

INSERT INTO all_numbered
SELECT event_id, ROW_NUMBER() OVER (PARTITION BY tailnum ORDER BY event_time) FROM some_departures;

INSERT INTO late_rows
SELECT event_id, SUM(dep_delay) OVER w + COUNT(*) OVER w, MIN(dep_delay) OVER w FROM impatient_events WHERE carrier = 'VX'
WINDOW w AS (PARTITION BY event_type ORDER BY event_time ROWS 3 PRECEDING);

INSERT INTO late_range
SELECT event_id, SUM(dep_delay) OVER w + COUNT(*) OVER w, MIN(dep_delay) OVER w FROM impatient_events WHERE carrier = 'VX'
WINDOW w AS (PARTITION BY event_type ORDER BY event_time);

INSERT INTO late_hours
SELECT event_id, SUM(dep_delay) OVER w + COUNT(*) OVER w, MIN(dep_delay) OVER w FROM impatient_events WHERE carrier = 'VX'
WINDOW w AS (PARTITION BY event_type ORDER BY event_time RANGE INTERVAL '5' HOUR PRECEDING);

INSERT INTO running_hours
SELECT window_end, origin, flights, SUM(flights) OVER (PARTITION BY origin ORDER BY window_time) FROM (
  SELECT window_start, window_end, window_time, origin, COUNT(*) AS flights
  FROM TABLE(TUMBLE(TABLE some_departures, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
  GROUP BY window_start, window_end, window_time, origin
);

INSERT INTO twice
SELECT event_id, of_plane, SUM(of_plane) OVER (ORDER BY event_time RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW)
FROM (SELECT *, COUNT(*) OVER (PARTITION BY tailnum ORDER BY event_time) AS of_plane FROM some_departures);

INSERT INTO by_delay
SELECT event_id, dep_delay, RANK() OVER (PARTITION BY origin ORDER BY dep_delay) FROM some_departures
ON CONFLICT DO DEDUPLICATE;

INSERT INTO carriers_by_flights
SELECT carrier, flights, RANK() OVER (ORDER BY flights), SUM(flights) OVER (ORDER BY flights)
FROM (SELECT carrier, COUNT(*) AS flights FROM departures GROUP BY carrier);

INSERT INTO carriers
SELECT carrier, ROUND(STDDEV_POP(minutes), 6), ROUND(STDDEV_SAMP(minutes), 6), VAR_POP(dep_delay), VAR_SAMP(miles),
  LISTAGG(DISTINCT origin), COLLECT(dest), ARRAY_AGG(DISTINCT dest), PERCENTILE(dep_delay, 0.5),
  PERCENTILE(minutes, ARRAY[0.9, 0.1]), PERCENTILE(dep_delay, 0.25, distance), FIRST_VALUE(dest), LAST_VALUE(dest),
  LISTAGG(origin, '/') FILTER (WHERE dep_delay > 60)
FROM some_departures GROUP BY carrier;

INSERT INTO planes_of_carriers
SELECT carrier, COUNT(*), COLLECT(CAST(flights AS STRING)), PERCENTILE(flights, 0.5), STDDEV_POP(flights), MAX(flights)
FROM (SELECT carrier, tailnum, COUNT(*) AS flights FROM some_departures GROUP BY carrier, tailnum)
GROUP BY carrier;

INSERT INTO hours
SELECT window_start, window_end, carrier, ROUND(STDDEV_POP(minutes), 6), ROUND(VAR_SAMP(minutes), 6), LISTAGG(tailnum, ' '),
  ARRAY_AGG(dest), COLLECT(origin), PERCENTILE(dep_delay, 0.5)
FROM TABLE(HOP(TABLE some_departures, DESCRIPTOR(event_time), INTERVAL '4' HOUR, INTERVAL '12' HOUR))
GROUP BY window_start, window_end, carrier;

INSERT INTO days_so_far
SELECT window_start, window_end, carrier, ROUND(STDDEV_SAMP(minutes), 6), LISTAGG(tailnum), ARRAY_AGG(dest), PERCENTILE(dep_delay, 0.9)
FROM TABLE(CUMULATE(TABLE some_departures, DESCRIPTOR(event_time), INTERVAL '8' HOUR, INTERVAL '1' DAY))
GROUP BY window_start, window_end, carrier;

INSERT INTO sessions
SELECT SESSION_START(event_time, INTERVAL '8' HOUR), SESSION_END(event_time, INTERVAL '8' HOUR), tailnum, LISTAGG(dest, '-'),
  COLLECT(dest), STDDEV_POP(dep_delay)
FROM some_departures GROUP BY tailnum, SESSION(event_time, INTERVAL '8' HOUR)
HAVING COUNT(*) > 1;

INSERT INTO sets
SELECT COALESCE(origin, 'all'), COALESCE(carrier, 'all'), GROUPING(origin), GROUPING(carrier), GROUPING_ID(origin, carrier),
  GROUP_ID(), COUNT(*)
FROM some_departures GROUP BY GROUPING SETS ((origin, carrier), (origin), (), (carrier))
ON CONFLICT DO DEDUPLICATE;

END;
