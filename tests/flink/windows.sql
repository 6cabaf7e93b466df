-- Windows of every kind over a month of flights, each result in a topic of its own.
--
-- The rows of the file come in the order of their event time but for three hours, which the watermark allows for, so
-- nothing is late. Whatever is ordered is ordered totally, so that one result is right. Every topic is only appended to.

SET 'table.dml-sync' = 'true';

CREATE TABLE arriving_events (
  event_id            STRING,
  event_type          STRING,        -- scheduled, departed, arrived or cancelled
  event_time          TIMESTAMP(3),
  carrier             STRING,
  flight              INT,
  tailnum             STRING,
  origin              STRING,
  dest                STRING,
  dep_delay           INT,
  arr_delay           INT,
  distance            INT,
  WATERMARK FOR event_time AS event_time - INTERVAL '3' HOUR
) WITH (
  'connector' = 'filesystem',
  'path'      = 'examples/flights/data/events.json.gz',
  'format'    = 'json'
);

CREATE VIEW departures AS SELECT * FROM arriving_events WHERE event_type = 'departed';
CREATE VIEW arrivals AS SELECT * FROM arriving_events WHERE event_type = 'arrived';

CREATE VIEW hourly_carriers AS
SELECT window_start, window_end, window_time, origin, carrier, COUNT(*) AS flights, SUM(dep_delay) AS minutes_late
FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, window_time, origin, carrier;
-- The outer window's columns have the names of the inner one's.
CREATE VIEW hourly_flights AS SELECT window_time, origin, flights, minutes_late FROM hourly_carriers;

-- Cumulating windows: the day so far, every six hours.
CREATE TABLE days_so_far (window_start TIMESTAMP(3), window_end TIMESTAMP(3), origin STRING, flights BIGINT, worst INT)
WITH ('connector' = 'kafka', 'topic' = 'windows-days-so-far', 'format' = 'json');

-- Several groupings of the same windows; ROLLUP is another way to write one of them.
CREATE TABLE subtotals (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), origin STRING, carrier STRING, flights BIGINT, miles INT
) WITH ('connector' = 'kafka', 'topic' = 'windows-subtotals', 'format' = 'json');
CREATE TABLE rolled_up (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), origin STRING, dest STRING, flights BIGINT
) WITH ('connector' = 'kafka', 'topic' = 'windows-rolled-up', 'format' = 'json');

-- Sessions of a plane, with a table function; and of a route, in the legacy form.
CREATE TABLE plane_sessions (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), tailnum STRING, flights BIGINT, miles INT
) WITH ('connector' = 'kafka', 'topic' = 'windows-plane-sessions', 'format' = 'json');
CREATE TABLE route_sessions (
  session_start TIMESTAMP(3), session_end TIMESTAMP(3), session_rowtime TIMESTAMP(3), origin STRING, dest STRING,
  flights BIGINT
) WITH ('connector' = 'kafka', 'topic' = 'windows-route-sessions', 'format' = 'json');

-- The legacy forms of the other two.
CREATE TABLE legacy_days (day_start TIMESTAMP(3), day_end TIMESTAMP(3), carrier STRING, flights BIGINT, average INT)
WITH ('connector' = 'kafka', 'topic' = 'windows-legacy-days', 'format' = 'json');
CREATE TABLE legacy_shifts (shift_start TIMESTAMP(3), shift_end TIMESTAMP(3), origin STRING, flights BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'windows-legacy-shifts', 'format' = 'json');

-- Top-N of windows: over aggregates, and over rows.
CREATE TABLE busiest_carriers (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), origin STRING, place BIGINT, carrier STRING, flights BIGINT
) WITH ('connector' = 'kafka', 'topic' = 'windows-busiest-carriers', 'format' = 'json');
CREATE TABLE worst_departures (window_start TIMESTAMP(3), window_end TIMESTAMP(3), event_id STRING, dep_delay INT)
WITH ('connector' = 'kafka', 'topic' = 'windows-worst-departures', 'format' = 'json');

-- Window deduplication: a plane's first departure of each day.
CREATE TABLE first_departures (window_start TIMESTAMP(3), window_end TIMESTAMP(3), tailnum STRING, event_id STRING)
WITH ('connector' = 'kafka', 'topic' = 'windows-first-departures', 'format' = 'json');

-- Window joins of all kinds: what left and what landed in the same hour.
CREATE TABLE turnarounds (window_start TIMESTAMP(3), tailnum STRING, landed STRING, left_again STRING)
WITH ('connector' = 'kafka', 'topic' = 'windows-turnarounds', 'format' = 'json');
CREATE TABLE landed (window_start TIMESTAMP(3), tailnum STRING, landed STRING, left_again STRING)
WITH ('connector' = 'kafka', 'topic' = 'windows-landed', 'format' = 'json');
CREATE TABLE left_again (window_start TIMESTAMP(3), tailnum STRING, landed STRING, left_again STRING)
WITH ('connector' = 'kafka', 'topic' = 'windows-left-again', 'format' = 'json');
CREATE TABLE ground (window_start TIMESTAMP(3), tailnum STRING, landed STRING, left_again STRING)
WITH ('connector' = 'kafka', 'topic' = 'windows-ground', 'format' = 'json');

-- Windows of windows: of the same window, and of larger ones over window_time.
CREATE TABLE hours_of_origins (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), origin STRING, carriers BIGINT, most BIGINT
) WITH ('connector' = 'kafka', 'topic' = 'windows-hours-of-origins', 'format' = 'json');
CREATE TABLE days_of_hours (window_start TIMESTAMP(3), window_end TIMESTAMP(3), origin STRING, flights BIGINT, late INT)
WITH ('connector' = 'kafka', 'topic' = 'windows-days-of-hours', 'format' = 'json');

EXECUTE STATEMENT SET
BEGIN

INSERT INTO days_so_far
SELECT window_start, window_end, origin, COUNT(*), MAX(dep_delay)
FROM TABLE(CUMULATE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '6' HOUR, INTERVAL '1' DAY))
GROUP BY window_start, window_end, origin;

INSERT INTO subtotals
SELECT window_start, window_end, origin, carrier, COUNT(*), SUM(distance)
FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, GROUPING SETS ((origin, carrier), (carrier), ());

INSERT INTO rolled_up
SELECT window_start, window_end, origin, dest, COUNT(*)
FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, ROLLUP (origin, dest);

INSERT INTO plane_sessions
SELECT window_start, window_end, tailnum, COUNT(*), SUM(distance)
FROM TABLE(SESSION(TABLE departures PARTITION BY tailnum, DESCRIPTOR(event_time), INTERVAL '6' HOUR))
GROUP BY window_start, window_end, tailnum;

INSERT INTO route_sessions
SELECT
  SESSION_START(event_time, INTERVAL '3' HOUR), SESSION_END(event_time, INTERVAL '3' HOUR),
  CAST(SESSION_ROWTIME(event_time, INTERVAL '3' HOUR) AS TIMESTAMP(3)), origin, dest, COUNT(*)
FROM departures
GROUP BY SESSION(event_time, INTERVAL '3' HOUR), origin, dest;

INSERT INTO legacy_days
SELECT
  TUMBLE_START(event_time, INTERVAL '1' DAY), TUMBLE_END(event_time, INTERVAL '1' DAY), carrier, COUNT(*),
  AVG(dep_delay)
FROM departures
GROUP BY TUMBLE(event_time, INTERVAL '1' DAY), carrier;

INSERT INTO legacy_shifts
SELECT
  HOP_START(event_time, INTERVAL '4' HOUR, INTERVAL '8' HOUR), HOP_END(event_time, INTERVAL '4' HOUR, INTERVAL '8' HOUR),
  origin, COUNT(*)
FROM departures
GROUP BY HOP(event_time, INTERVAL '4' HOUR, INTERVAL '8' HOUR), origin;

INSERT INTO busiest_carriers
SELECT window_start, window_end, origin, place, carrier, flights
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY window_start, window_end, origin ORDER BY flights DESC, carrier
  ) AS place
  FROM hourly_carriers
)
WHERE place <= 2;

INSERT INTO worst_departures
SELECT window_start, window_end, event_id, dep_delay
FROM (
  SELECT window_start, window_end, event_id, dep_delay, ROW_NUMBER() OVER (
    PARTITION BY window_start, window_end ORDER BY dep_delay DESC, event_id
  ) AS place
  FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' DAY))
  WHERE dep_delay IS NOT NULL
)
WHERE place <= 3;

INSERT INTO first_departures
SELECT window_start, window_end, tailnum, event_id
FROM (
  SELECT window_start, window_end, tailnum, event_id, ROW_NUMBER() OVER (
    PARTITION BY window_start, window_end, tailnum ORDER BY event_time ASC
  ) AS place
  FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' DAY))
)
WHERE place = 1;

INSERT INTO turnarounds
SELECT a.window_start, a.tailnum, a.event_id, d.event_id
FROM (SELECT * FROM TABLE(TUMBLE(TABLE arrivals, DESCRIPTOR(event_time), INTERVAL '1' HOUR))) AS a
JOIN (SELECT * FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' HOUR))) AS d
  ON a.window_start = d.window_start AND a.window_end = d.window_end AND a.tailnum = d.tailnum
  AND a.event_id <> d.event_id;

INSERT INTO landed
SELECT a.window_start, a.tailnum, a.event_id, d.event_id
FROM (SELECT * FROM TABLE(TUMBLE(TABLE arrivals, DESCRIPTOR(event_time), INTERVAL '1' HOUR))) AS a
LEFT JOIN (SELECT * FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' HOUR))) AS d
  ON a.window_start = d.window_start AND a.window_end = d.window_end AND a.tailnum = d.tailnum;

INSERT INTO left_again
SELECT d.window_start, d.tailnum, a.event_id, d.event_id
FROM (SELECT * FROM TABLE(TUMBLE(TABLE arrivals, DESCRIPTOR(event_time), INTERVAL '1' HOUR))) AS a
RIGHT JOIN (SELECT * FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' HOUR))) AS d
  ON a.window_start = d.window_start AND a.window_end = d.window_end AND a.tailnum = d.tailnum;

INSERT INTO ground
SELECT COALESCE(a.window_start, d.window_start), COALESCE(a.tailnum, d.tailnum), a.event_id, d.event_id
FROM (SELECT * FROM TABLE(TUMBLE(TABLE arrivals, DESCRIPTOR(event_time), INTERVAL '1' HOUR))) AS a
FULL JOIN (SELECT * FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' HOUR))) AS d
  ON a.window_start = d.window_start AND a.window_end = d.window_end AND a.tailnum = d.tailnum;

INSERT INTO hours_of_origins
SELECT window_start, window_end, origin, COUNT(*), MAX(flights)
FROM hourly_carriers
GROUP BY window_start, window_end, origin;

INSERT INTO days_of_hours
SELECT window_start, window_end, origin, SUM(flights), SUM(minutes_late)
FROM TABLE(TUMBLE(TABLE hourly_flights, DESCRIPTOR(window_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, origin;

END;
