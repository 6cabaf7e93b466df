-- Forms of queries over a month of flights: orders, first rows, deduplication, set operations, rows of the statement itself.
--
-- The rows of the file come in the order of their event time but for three hours, which the watermark allows for, so
-- nothing is late. Orders are total, so that every topic has one right end.

SET 'table.dml-sync' = 'true';

CREATE TABLE events (
  event_id   STRING,
  event_type STRING,        -- scheduled, departed, arrived or cancelled
  event_time TIMESTAMP(3),
  carrier    STRING,
  flight     INT,
  tailnum    STRING,        -- NULL for some cancelled flights
  origin     STRING,
  dest       STRING,
  dep_delay  INT,           -- minutes; negative when early
  arr_delay  INT,           -- minutes; NULL for a diverted flight
  distance   INT,           -- miles
  proc AS PROCTIME(),
  WATERMARK FOR event_time AS event_time - INTERVAL '3' HOUR
) WITH (
  'connector' = 'filesystem',
  'path'      = 'examples/flights/data/events.json.gz',
  'format'    = 'json'
);

CREATE VIEW departures AS SELECT * FROM events WHERE event_type = 'departed';
CREATE VIEW arrivals AS SELECT * FROM events WHERE event_type = 'arrived';
CREATE VIEW cancellations AS SELECT * FROM events WHERE event_type = 'cancelled';

---------------------------------------------------------------------------------------------------
-- Orders and first rows.
---------------------------------------------------------------------------------------------------

CREATE TABLE busiest (
  tailnum STRING NOT NULL, flights BIGINT, PRIMARY KEY (tailnum) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'queries-busiest', 'key.format' = 'json', 'value.format' = 'json');

CREATE TABLE in_order (event_id STRING, tailnum STRING)
WITH ('connector' = 'kafka', 'topic' = 'queries-in-order', 'format' = 'json');

CREATE TABLE first_to_come (event_id STRING)
WITH ('connector' = 'kafka', 'topic' = 'queries-limit', 'format' = 'json');

CREATE TABLE latest_flights (
  carrier STRING NOT NULL, place BIGINT NOT NULL, event_id STRING, PRIMARY KEY (carrier, place) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'queries-qualify', 'key.format' = 'json', 'value.format' = 'json');

---------------------------------------------------------------------------------------------------
-- Deduplication: rows that are only added, and one that is replaced.
---------------------------------------------------------------------------------------------------

CREATE TABLE first_departures (tailnum STRING, event_id STRING)
WITH ('connector' = 'kafka', 'topic' = 'queries-earliest', 'format' = 'json');

CREATE TABLE first_seen (origin STRING, dest STRING, event_id STRING, place BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'queries-first', 'format' = 'json');

CREATE TABLE last_seen (
  tailnum STRING NOT NULL, event_id STRING, PRIMARY KEY (tailnum) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'queries-latest', 'key.format' = 'json', 'value.format' = 'json');

---------------------------------------------------------------------------------------------------
-- Set operations.
---------------------------------------------------------------------------------------------------

CREATE TABLE cancelled_too (
  carrier STRING NOT NULL, tailnum STRING NOT NULL, PRIMARY KEY (carrier, tailnum) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'queries-intersect', 'key.format' = 'json', 'value.format' = 'json');

CREATE TABLE never_cancelled (
  carrier STRING NOT NULL, dest STRING NOT NULL, PRIMARY KEY (carrier, dest) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'queries-except', 'key.format' = 'json', 'value.format' = 'json');

CREATE TABLE both_ways (
  origin STRING NOT NULL, flights BIGINT, PRIMARY KEY (origin) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'queries-intersect-all', 'key.format' = 'json', 'value.format' = 'json');

CREATE TABLE not_arrived (
  origin STRING NOT NULL, flights BIGINT, PRIMARY KEY (origin) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'queries-except-all', 'key.format' = 'json', 'value.format' = 'json');

---------------------------------------------------------------------------------------------------
-- Rows that the statement holds.
---------------------------------------------------------------------------------------------------

CREATE TABLE named_carriers (
  name STRING NOT NULL, flights BIGINT, PRIMARY KEY (name) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'queries-values', 'key.format' = 'json', 'value.format' = 'json');

CREATE TABLE constants (a BIGINT, b STRING, c DECIMAL(6, 3), d TIMESTAMP(3), e ARRAY<INT>)
WITH ('connector' = 'kafka', 'topic' = 'queries-constants', 'format' = 'json');

EXECUTE STATEMENT SET BEGIN

INSERT INTO busiest
SELECT tailnum, COUNT(*) AS flights FROM departures WHERE tailnum IS NOT NULL
GROUP BY tailnum ORDER BY flights DESC, tailnum LIMIT 20 OFFSET 5
ON CONFLICT DO DEDUPLICATE;

INSERT INTO in_order SELECT event_id, tailnum FROM cancellations ORDER BY event_time, event_id;

INSERT INTO first_to_come SELECT event_id FROM departures LIMIT 100;

INSERT INTO latest_flights
SELECT carrier, ROW_NUMBER() OVER (PARTITION BY carrier ORDER BY event_time DESC, event_id) AS place, event_id
FROM arrivals QUALIFY place <= 3;

INSERT INTO first_departures
SELECT tailnum, event_id FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY tailnum ORDER BY event_time) AS place FROM departures
) WHERE place = 1;

INSERT INTO first_seen
SELECT origin, dest, event_id, place FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY origin, dest ORDER BY proc) AS place FROM events
) WHERE place = 1;

INSERT INTO last_seen
SELECT tailnum, event_id FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY tailnum ORDER BY event_time DESC) AS place FROM arrivals
) WHERE place = 1;

INSERT INTO cancelled_too
SELECT carrier, tailnum FROM departures WHERE tailnum IS NOT NULL
INTERSECT SELECT carrier, tailnum FROM cancellations;

INSERT INTO never_cancelled
SELECT carrier, dest FROM departures EXCEPT SELECT carrier, dest FROM cancellations;

INSERT INTO both_ways
SELECT origin, COUNT(*) FROM (
  SELECT origin, dest, carrier FROM arrivals INTERSECT ALL SELECT origin, dest, carrier FROM cancellations
) GROUP BY origin;

INSERT INTO not_arrived
SELECT origin, COUNT(*) FROM (
  SELECT origin, dest, tailnum FROM departures EXCEPT ALL SELECT origin, dest, tailnum FROM arrivals
) GROUP BY origin;

INSERT INTO named_carriers
SELECT c.name, COUNT(*) FROM departures AS d
JOIN (VALUES ('UA', 'United'), ('B6', 'JetBlue'), ('AA', 'American')) AS c (code, name) ON d.carrier = c.code
GROUP BY c.name;

INSERT INTO constants
SELECT a, b, c, d, e FROM (
  VALUES (1, 'x', 1.5, TIMESTAMP '2013-01-01 00:00:00', ARRAY[1, 2]),
         (CAST(2 AS BIGINT), CAST(NULL AS STRING), 22.125, TIMESTAMP '2013-01-02 03:04:05.678', ARRAY[3])
) AS t (a, b, c, d, e)
UNION ALL SELECT 3, UPPER('three'), 0, TIMESTAMP '2013-01-01 00:00:00', CAST(NULL AS ARRAY<INT>);

END;
