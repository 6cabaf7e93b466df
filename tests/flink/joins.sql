-- Joins of every kind over a month of flights, and sub-queries, which are joins too.
--
-- Most results count what a join leaves, by a key, so that every topic has one right end: each value stands for all
-- rows that were there or were not. The rows of the file come in the order of their event time but for three hours,
-- which the watermark allows for, so nothing is late.

SET 'table.dml-sync' = 'true';

CREATE TABLE arriving_events (
  event_id            STRING,
  event_type          STRING,        -- scheduled, departed, arrived or cancelled
  event_time          TIMESTAMP(3),
  carrier             STRING,
  flight              INT,
  tailnum             STRING,        -- NULL for some cancelled flights
  origin              STRING,
  dest                STRING,
  scheduled_departure TIMESTAMP(3),
  dep_delay           INT,           -- minutes; negative when early
  arr_delay           INT,           -- minutes; NULL for a diverted flight
  distance            INT,           -- miles
  WATERMARK FOR event_time AS event_time - INTERVAL '3' HOUR
) WITH (
  'connector' = 'filesystem',
  'path'      = 'examples/flights/data/events.json.gz',
  'format'    = 'json'
);

CREATE TABLE planes (
  tailnum      STRING,
  built        INT,
  manufacturer STRING,
  model        STRING,
  engines      INT,
  seats        INT,
  engine       STRING,
  PRIMARY KEY (tailnum) NOT ENFORCED
) WITH (
  'connector'        = 'filesystem',
  'path'             = 'examples/flights/data/planes.csv',
  'format'           = 'csv',
  'csv.null-literal' = ''
);

CREATE VIEW departures AS SELECT * FROM arriving_events WHERE event_type = 'departed';
CREATE VIEW arrivals AS SELECT * FROM arriving_events WHERE event_type = 'arrived';
CREATE VIEW cancellations AS SELECT * FROM arriving_events WHERE event_type = 'cancelled';

-- Changing tables: what is known of each plane, from its departures and from its arrivals.
CREATE VIEW plane_departures AS
SELECT tailnum, MIN(carrier) AS carrier, COUNT(*) AS flights, SUM(dep_delay) AS minutes_late FROM departures GROUP BY tailnum;
CREATE VIEW plane_arrivals AS
SELECT tailnum, MAX(origin) AS origin, COUNT(*) AS flights, SUM(arr_delay) AS minutes_late FROM arrivals GROUP BY tailnum;
CREATE VIEW plane_cancellations AS
SELECT tailnum, COUNT(*) AS flights FROM cancellations GROUP BY tailnum;

CREATE VIEW turns AS
SELECT d.origin, d.event_time, d.tailnum
FROM arrivals AS a
JOIN departures AS d
  ON a.tailnum = d.tailnum AND a.event_time BETWEEN d.event_time - INTERVAL '12' HOUR AND d.event_time;

---------------------------------------------------------------------------------------------------
-- Outer joins.
---------------------------------------------------------------------------------------------------

-- Planes by whether they were cancelled, departed, or both.
CREATE TABLE full_join (
  carrier STRING NOT NULL, departed BOOLEAN NOT NULL, cancelled BOOLEAN NOT NULL, planes BIGINT, flights BIGINT, gone BIGINT,
  PRIMARY KEY (carrier, departed, cancelled) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'joins-full', 'key.format' = 'json', 'value.format' = 'json');

-- The same with a condition beside the key: pairs that do not hold it leave both rows alone.
CREATE TABLE full_join_on (
  kind STRING NOT NULL, planes BIGINT, late BIGINT, PRIMARY KEY (kind) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'joins-full-on', 'key.format' = 'json', 'value.format' = 'json');

CREATE TABLE right_join (
  manufacturer STRING NOT NULL, planes BIGINT, flown BIGINT, flights BIGINT, PRIMARY KEY (manufacturer) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'joins-right', 'key.format' = 'json', 'value.format' = 'json');

---------------------------------------------------------------------------------------------------
-- Semi and anti joins.
---------------------------------------------------------------------------------------------------

-- Rows that only come, of two inputs that only grow.
CREATE TABLE in_table (event_id STRING, tailnum STRING)
WITH ('connector' = 'kafka', 'topic' = 'joins-in', 'format' = 'json');

CREATE TABLE not_exists (
  manufacturer STRING NOT NULL, planes BIGINT, oldest INT, PRIMARY KEY (manufacturer) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'joins-not-exists', 'key.format' = 'json', 'value.format' = 'json');

-- The other side changes, and a condition compares both.
CREATE TABLE exists_changing (
  carrier STRING NOT NULL, planes BIGINT, flights BIGINT, PRIMARY KEY (carrier) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'joins-exists', 'key.format' = 'json', 'value.format' = 'json');

-- NULLs on the left: tailnum is NULL for some cancelled flights.
CREATE TABLE not_in (
  origin STRING NOT NULL, flights BIGINT, PRIMARY KEY (origin) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'joins-not-in', 'key.format' = 'json', 'value.format' = 'json');

---------------------------------------------------------------------------------------------------
-- Sub-queries that stand for values.
---------------------------------------------------------------------------------------------------

CREATE TABLE above_average (
  carrier STRING NOT NULL, planes BIGINT, PRIMARY KEY (carrier) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'joins-above-average', 'key.format' = 'json', 'value.format' = 'json');

---------------------------------------------------------------------------------------------------
-- Interval joins: rows whose event times are close.
---------------------------------------------------------------------------------------------------

CREATE TABLE flights_there (departure STRING, arrival STRING, minutes INT)
WITH ('connector' = 'kafka', 'topic' = 'joins-interval', 'format' = 'json');

-- Departures with what was cancelled on the same route around them, by another carrier; those without stand alone.
CREATE TABLE cancelled_around (departure STRING, cancelled STRING)
WITH ('connector' = 'kafka', 'topic' = 'joins-interval-left', 'format' = 'json');
CREATE TABLE cancelled_around_right (departure STRING, cancelled STRING)
WITH ('connector' = 'kafka', 'topic' = 'joins-interval-right', 'format' = 'json');
CREATE TABLE next_flights (arrival STRING, departure STRING)
WITH ('connector' = 'kafka', 'topic' = 'joins-interval-full', 'format' = 'json');

-- The pairs have event time: a window goes on with it.
CREATE TABLE hourly_turns (window_start TIMESTAMP(3), window_end TIMESTAMP(3), origin STRING, turns BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'joins-interval-windows', 'format' = 'json');

EXECUTE STATEMENT SET BEGIN

INSERT INTO full_join
SELECT COALESCE(d.carrier, '-'), d.tailnum IS NOT NULL, c.tailnum IS NOT NULL, COUNT(*), SUM(d.flights), SUM(c.flights)
FROM plane_departures AS d
FULL JOIN plane_cancellations AS c ON d.tailnum = c.tailnum
GROUP BY COALESCE(d.carrier, '-'), d.tailnum IS NOT NULL, c.tailnum IS NOT NULL;

INSERT INTO full_join_on
SELECT kind, COUNT(*), SUM(late) FROM (
  SELECT CASE WHEN d.tailnum IS NULL THEN 'arrivals' WHEN a.tailnum IS NULL THEN 'departures' ELSE 'both' END AS kind,
         COALESCE(d.minutes_late, a.minutes_late) AS late
  FROM plane_departures AS d
  FULL JOIN plane_arrivals AS a ON d.tailnum = a.tailnum AND d.minutes_late > a.minutes_late
)
GROUP BY kind;

INSERT INTO right_join
SELECT COALESCE(p.manufacturer, '?'), COUNT(*), COUNT(a.tailnum), SUM(a.flights)
FROM plane_arrivals AS a
RIGHT JOIN planes AS p ON a.tailnum = p.tailnum AND p.seats > 50
GROUP BY COALESCE(p.manufacturer, '?');

INSERT INTO in_table
SELECT event_id, tailnum FROM departures
WHERE tailnum IN (SELECT tailnum FROM planes WHERE engines > 2) AND dep_delay > 0;

INSERT INTO not_exists
SELECT COALESCE(manufacturer, '?'), COUNT(*), MIN(built) FROM planes AS p
WHERE NOT EXISTS (SELECT 1 FROM departures AS d WHERE d.tailnum = p.tailnum AND d.dep_delay > p.seats)
GROUP BY COALESCE(manufacturer, '?');

INSERT INTO exists_changing
SELECT carrier, COUNT(*), SUM(flights) FROM plane_departures AS d
WHERE EXISTS (SELECT * FROM plane_arrivals AS a WHERE a.tailnum = d.tailnum AND a.minutes_late < d.minutes_late - 60)
GROUP BY carrier;

INSERT INTO not_in
SELECT origin, COUNT(*) FROM cancellations
WHERE tailnum NOT IN (SELECT tailnum FROM planes WHERE engines > 2)
GROUP BY origin;

INSERT INTO above_average
SELECT carrier, COUNT(*) FROM plane_departures
WHERE flights > (SELECT AVG(flights) FROM plane_arrivals)
GROUP BY carrier;

INSERT INTO flights_there
SELECT d.event_id, a.event_id, a.arr_delay - d.dep_delay
FROM departures AS d, arrivals AS a
WHERE d.tailnum = a.tailnum AND d.flight = a.flight
  AND a.event_time BETWEEN d.event_time AND d.event_time + INTERVAL '12' HOUR;

INSERT INTO cancelled_around
SELECT d.event_id, c.event_id
FROM departures AS d
LEFT JOIN cancellations AS c
  ON d.origin = c.origin AND d.dest = c.dest AND d.carrier <> c.carrier
  AND c.event_time >= d.event_time - INTERVAL '2' HOUR AND c.event_time < d.event_time + INTERVAL '90' MINUTE;

INSERT INTO cancelled_around_right
SELECT d.event_id, c.event_id
FROM departures AS d
RIGHT JOIN cancellations AS c
  ON d.origin = c.origin AND d.dest = c.dest
  AND d.event_time BETWEEN c.event_time - INTERVAL '10' MINUTE AND c.event_time + INTERVAL '5' MINUTE;

INSERT INTO next_flights
SELECT a.event_id, d.event_id
FROM arrivals AS a
FULL JOIN departures AS d
  ON a.tailnum = d.tailnum AND a.flight <> d.flight
  AND d.event_time > a.event_time AND d.event_time <= a.event_time + INTERVAL '8' HOUR;

INSERT INTO hourly_turns
SELECT window_start, window_end, origin, COUNT(*)
FROM TABLE(TUMBLE(TABLE turns, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, origin;

END;
