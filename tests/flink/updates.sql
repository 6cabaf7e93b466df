-- Queries whose rows change, over a month of flights: what Apache Flink made of this file is in `golden/updates`.
--
-- The first statement set plays the events into a topic, and keeps two tables in topics of their own: each flight as it
-- stands, and each late plane for as long as it is late. The second reads the three to their ends.
-- Whatever is ordered is ordered totally, and whatever is added up is exact, so that one result is right.

SET 'table.dml-sync' = 'true';

---------------------------------------------------------------------------------------------------
-- Inputs.
---------------------------------------------------------------------------------------------------

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
  distance            INT            -- miles
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

CREATE TABLE flight_events (
  event_id            STRING,
  event_type          STRING,
  event_time          TIMESTAMP(3),
  carrier             STRING,
  flight              INT,
  tailnum             STRING,
  origin              STRING,
  dest                STRING,
  dep_delay           INT,
  arr_delay           INT,
  distance            INT,
  WATERMARK FOR event_time AS event_time - INTERVAL '10' MINUTE
) WITH (
  'connector'                    = 'kafka',
  'topic'                        = 'updates-flight-events',
  'format'                       = 'json',
  'scan.startup.mode'            = 'earliest-offset',
  'scan.bounded.mode'            = 'latest-offset',
  'scan.watermark.emit.strategy' = 'on-event'
);

-- Each flight as it stands.
CREATE TABLE flights (
  flight_id STRING,
  status    STRING,
  carrier   STRING,
  tailnum   STRING,
  origin    STRING,
  dest      STRING,
  dep_delay INT,
  arr_delay INT,
  PRIMARY KEY (flight_id) NOT ENFORCED
) WITH (
  'connector'         = 'upsert-kafka',
  'topic'             = 'updates-flights',
  'key.format'        = 'json',
  'value.format'      = 'json',
  'scan.bounded.mode' = 'latest-offset'
);

-- Planes that are late by and large. A plane leaves the table when its delays even out, and may come back.
CREATE TABLE late_planes (
  tailnum       STRING,
  departures    BIGINT,
  average_delay INT,
  worst_delay   INT,
  PRIMARY KEY (tailnum) NOT ENFORCED
) WITH (
  'connector'         = 'upsert-kafka',
  'topic'             = 'updates-late-planes',
  'key.format'        = 'json',
  'value.format'      = 'json',
  'scan.bounded.mode' = 'latest-offset'
);

---------------------------------------------------------------------------------------------------
-- What is computed in more than one place.
---------------------------------------------------------------------------------------------------

CREATE VIEW routes AS
SELECT
  origin,
  dest,
  COUNT(*)                                      AS flights,
  COUNT(*) FILTER (WHERE status = 'cancelled')  AS cancellations,
  SUM(dep_delay)                                AS minutes_late,
  MIN(dep_delay)                                AS shortest_delay,
  MAX(dep_delay)                                AS longest_delay,
  AVG(arr_delay)                                AS average_arrival_delay,
  COUNT(DISTINCT carrier)                       AS carriers
FROM flights
GROUP BY origin, dest;

CREATE VIEW plane_departures AS
SELECT tailnum, COUNT(*) AS departures, SUM(dep_delay) AS minutes_late, MAX(event_id) AS last_departure
FROM flight_events
WHERE event_type = 'departed'
GROUP BY tailnum;

CREATE VIEW plane_arrivals AS
SELECT tailnum, COUNT(*) AS arrivals, SUM(arr_delay) AS minutes_late, COUNT(arr_delay) AS with_known_delay
FROM flight_events
WHERE event_type = 'arrived'
GROUP BY tailnum;

---------------------------------------------------------------------------------------------------
-- Results.
---------------------------------------------------------------------------------------------------

-- Every aggregate over rows that are only inserted.
CREATE TABLE carrier_totals (
  carrier           STRING,
  events            BIGINT,
  departures        BIGINT,
  minutes_late      INT,
  shortest_delay    INT,
  longest_delay     INT,
  average_delay     INT,
  exact_average     DECIMAL(38, 6),
  planes            BIGINT,
  late_planes       BIGINT,
  different_delays  INT,
  cancellations     BIGINT,
  first_event       STRING,
  PRIMARY KEY (carrier) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-carrier-totals',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- Every aggregate over rows that change.
CREATE TABLE route_totals (
  origin                STRING,
  dest                  STRING,
  flights               BIGINT,
  cancellations         BIGINT,
  minutes_late          INT,
  shortest_delay        INT,
  longest_delay         INT,
  average_arrival_delay INT,
  carriers              BIGINT,
  PRIMARY KEY (origin, dest) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-route-totals',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- An aggregate of an aggregate: its groups come and go.
CREATE TABLE route_sizes (
  origin        STRING,
  hundreds      BIGINT,
  routes        BIGINT,
  flights       BIGINT,
  longest_delay INT,
  shortest_name STRING,
  PRIMARY KEY (origin, hundreds) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-route-sizes',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- An inner join of two aggregates, with a condition that holds for a while.
CREATE TABLE planes_catching_up (
  tailnum             STRING,
  departures          BIGINT,
  arrivals            BIGINT,
  late_at_departure   INT,
  late_at_arrival     INT,
  last_departure      STRING,
  PRIMARY KEY (tailnum) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-planes-catching-up',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- The same, keyed by an expression: what Flink gives for the above keeps rows whose condition no longer holds.
CREATE TABLE planes_still_catching_up (
  tailnum             STRING,
  departures          BIGINT,
  arrivals            BIGINT,
  late_at_departure   INT,
  late_at_arrival     INT,
  last_departure      STRING,
  PRIMARY KEY (tailnum) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-planes-still-catching-up',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- A left join of two tables in topics, with a condition that reads both.
CREATE TABLE flights_beside_planes (
  flight_id     STRING,
  status        STRING,
  tailnum       STRING,
  dep_delay     INT,
  average_delay INT,
  worst_delay   INT,
  PRIMARY KEY (flight_id) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-flights-beside-planes',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- A left join whose rows have no key of one side alone.
CREATE TABLE late_pairs (
  tailnum   STRING,
  first_id  STRING,
  second_id STRING,
  minutes   INT,
  PRIMARY KEY (first_id, second_id) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-late-pairs',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- Top-N with the number in the result, over an aggregate.
CREATE TABLE busiest_routes (
  origin   STRING,
  place    BIGINT,
  dest     STRING,
  flights  BIGINT,
  PRIMARY KEY (origin, place) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-busiest-routes',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- Top-N without the number, over an aggregate.
CREATE TABLE late_routes (
  origin       STRING,
  dest         STRING,
  minutes_late INT,
  PRIMARY KEY (origin, dest) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-late-routes',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- Top-N over rows that are only inserted.
CREATE TABLE worst_departures (
  carrier   STRING,
  place     BIGINT,
  event_id  STRING,
  dep_delay INT,
  PRIMARY KEY (carrier, place) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-worst-departures',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- Which event of a plane came first.
CREATE TABLE first_events (
  tailnum    STRING,
  event_id   STRING,
  event_type STRING,
  PRIMARY KEY (tailnum) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-first-events',
  'key.format'   = 'json',
  'value.format' = 'json'
);

CREATE TABLE one_departure_each (
  event_id  STRING,
  carrier   STRING,
  dep_delay INT,
  PRIMARY KEY (event_id) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-one-departure-each',
  'key.format'   = 'json',
  'value.format' = 'json'
);

CREATE TABLE served_routes (
  carrier STRING,
  origin  STRING,
  dest    STRING,
  PRIMARY KEY (carrier, origin, dest) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-served-routes',
  'key.format'   = 'json',
  'value.format' = 'json'
);

CREATE TABLE troubled_places (
  place STRING,
  PRIMARY KEY (place) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-troubled-places',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- A sink whose key is not the query's: of the planes that flew under one number, the one that did so last.
CREATE TABLE last_plane_of_flight (
  carrier STRING,
  flight  INT,
  tailnum STRING,
  origin  STRING,
  events  BIGINT,
  PRIMARY KEY (carrier, flight) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'updates-last-plane-of-flight',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- Rows that are only inserted, from a window and from joins of streams.
CREATE TABLE origin_hours (
  window_start  TIMESTAMP(3),
  origin        STRING,
  departures    BIGINT,
  average_delay INT,
  longest_delay INT
) WITH (
  'connector' = 'kafka',
  'topic'     = 'updates-origin-hours',
  'format'    = 'json'
);

CREATE TABLE long_ways (
  departed   STRING,
  arrived    STRING,
  dep_delay  INT,
  arr_delay  INT,
  seats      INT
) WITH (
  'connector' = 'kafka',
  'topic'     = 'updates-long-ways',
  'format'    = 'json'
);

---------------------------------------------------------------------------------------------------
-- What is run.
---------------------------------------------------------------------------------------------------

EXECUTE STATEMENT SET
BEGIN

INSERT INTO flight_events
SELECT
  event_id, event_type, event_time, carrier, flight, tailnum, origin, dest, dep_delay, arr_delay, distance
FROM arriving_events;

INSERT INTO flights
SELECT
  SUBSTRING(event_id FROM 1 FOR CHAR_LENGTH(event_id) - 2), event_type, carrier, tailnum, origin, dest,
  dep_delay, arr_delay
FROM arriving_events
ON CONFLICT DO DEDUPLICATE;

INSERT INTO late_planes
SELECT tailnum, COUNT(*), AVG(dep_delay), MAX(dep_delay)
FROM arriving_events
WHERE event_type = 'departed' AND tailnum IS NOT NULL
GROUP BY tailnum
HAVING SUM(dep_delay) > 15 * COUNT(*);

END;

EXECUTE STATEMENT SET
BEGIN

INSERT INTO carrier_totals
SELECT
  carrier,
  COUNT(*),
  COUNT(dep_delay) FILTER (WHERE event_type = 'departed'),
  SUM(dep_delay) FILTER (WHERE event_type = 'departed'),
  MIN(dep_delay),
  MAX(dep_delay),
  AVG(dep_delay),
  AVG(CAST(dep_delay AS DECIMAL(10, 2))),
  COUNT(DISTINCT tailnum),
  COUNT(DISTINCT tailnum) FILTER (WHERE dep_delay > 60),
  SUM(DISTINCT dep_delay),
  COUNT(*) FILTER (WHERE event_type = 'cancelled'),
  MIN(event_id)
FROM flight_events
GROUP BY carrier;

INSERT INTO route_totals
SELECT * FROM routes;

INSERT INTO route_sizes
SELECT
  origin, flights / 100, COUNT(*), SUM(flights), MAX(longest_delay), MIN(dest)
FROM routes
GROUP BY origin, flights / 100;

INSERT INTO planes_catching_up
SELECT
  d.tailnum, d.departures, a.arrivals, d.minutes_late, a.minutes_late, d.last_departure
FROM plane_departures AS d
JOIN plane_arrivals AS a
  ON d.tailnum = a.tailnum AND a.minutes_late < d.minutes_late AND d.departures - a.arrivals < 2;

INSERT INTO planes_still_catching_up
SELECT
  d.tailnum || '', d.departures, a.arrivals, d.minutes_late, a.minutes_late, d.last_departure
FROM plane_departures AS d
JOIN plane_arrivals AS a
  ON d.tailnum = a.tailnum AND a.minutes_late < d.minutes_late AND d.departures - a.arrivals < 2
ON CONFLICT DO DEDUPLICATE;

INSERT INTO flights_beside_planes
SELECT
  f.flight_id, f.status, f.tailnum, f.dep_delay, p.average_delay, p.worst_delay
FROM flights AS f
LEFT JOIN late_planes AS p
  ON f.tailnum = p.tailnum AND f.dep_delay > p.average_delay
ON CONFLICT DO DEDUPLICATE;

INSERT INTO late_pairs
SELECT
  f.tailnum, f.flight_id, COALESCE(s.flight_id, 'none'), f.dep_delay + COALESCE(s.dep_delay, 0)
FROM (SELECT * FROM flights WHERE dep_delay >= 120) AS f
LEFT JOIN (SELECT * FROM flights WHERE dep_delay >= 120) AS s
  ON f.tailnum = s.tailnum AND f.flight_id < s.flight_id
ON CONFLICT DO DEDUPLICATE;

INSERT INTO busiest_routes
SELECT origin, place, dest, flights
FROM (
  SELECT origin, dest, flights, ROW_NUMBER() OVER (PARTITION BY origin ORDER BY flights DESC, dest) AS place
  FROM routes
)
WHERE place <= 10;

INSERT INTO late_routes
SELECT origin, dest, minutes_late
FROM (
  SELECT
    origin, dest, minutes_late,
    ROW_NUMBER() OVER (PARTITION BY origin ORDER BY minutes_late DESC, dest) AS place
  FROM routes
)
WHERE place <= 5;

INSERT INTO worst_departures
SELECT carrier, place, event_id, dep_delay
FROM (
  SELECT
    carrier, event_id, dep_delay,
    ROW_NUMBER() OVER (PARTITION BY carrier ORDER BY dep_delay DESC, event_id) AS place
  FROM flight_events
  WHERE event_type = 'departed'
)
WHERE place <= 20;

INSERT INTO served_routes
SELECT DISTINCT carrier, origin, dest FROM flight_events;

INSERT INTO first_events
SELECT tailnum, event_id, event_type FROM flight_events WHERE tailnum IS NOT NULL
ON CONFLICT DO NOTHING;

INSERT INTO one_departure_each
SELECT event_id, carrier, dep_delay FROM flight_events WHERE event_type = 'departed' AND carrier = 'HA'
ON CONFLICT DO ERROR;

INSERT INTO troubled_places
SELECT origin FROM flights WHERE status = 'cancelled'
UNION
SELECT dest FROM routes WHERE average_arrival_delay > 10;

INSERT INTO last_plane_of_flight
SELECT carrier, flight, tailnum, origin, COUNT(*)
FROM flight_events
WHERE tailnum IS NOT NULL
GROUP BY carrier, flight, tailnum, origin
ON CONFLICT DO DEDUPLICATE;

INSERT INTO origin_hours
SELECT window_start, origin, COUNT(*), AVG(dep_delay), MAX(dep_delay)
FROM TABLE(TUMBLE(TABLE flight_events, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
WHERE event_type = 'departed'
GROUP BY window_start, window_end, origin;

INSERT INTO long_ways
SELECT d.event_id, a.event_id, d.dep_delay, a.arr_delay, p.seats
FROM (
  SELECT event_id, carrier, flight, tailnum, dep_delay, SUBSTRING(event_id FROM 1 FOR 4) AS happened
  FROM flight_events WHERE event_type = 'departed' AND distance >= 1500
) AS d
JOIN (
  SELECT event_id, carrier, flight, tailnum, arr_delay, SUBSTRING(event_id FROM 1 FOR 4) AS happened
  FROM flight_events WHERE event_type = 'arrived' AND distance >= 1500
) AS a
  ON d.carrier = a.carrier AND d.flight = a.flight AND d.happened = a.happened
JOIN planes AS p ON d.tailnum = p.tailnum;

END;
