-- A month of flights out of New York, told as events: where, when and why they are late.
--
--     eventwright run examples/flights/delays.sql
--
-- The first INSERT plays the events of examples/flights/data into the topic `flight-events`. The statement
-- set then reads that topic to its end and writes three topics, a CSV file and a short list on the terminal.
-- The file is plain Flink SQL 2.x. A `kafka` table without 'properties.bootstrap.servers' lies in the embedded
-- log here; on Flink, `cargo xtask flink run FILE --bootstrap HOST:PORT` fills that one option in.

SET 'table.dml-sync' = 'true';

---------------------------------------------------------------------------------------------------
-- The events, as they arrive: a file in the order of arrival, and the topic that it is played into.
---------------------------------------------------------------------------------------------------

CREATE TABLE arriving_events (
  event_id            STRING,
  event_type          STRING,        -- scheduled, departed, arrived or cancelled
  event_time          TIMESTAMP(3),  -- when it happened, UTC
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

CREATE TABLE flight_events (
  event_id            STRING,
  event_type          STRING,
  event_time          TIMESTAMP(3),
  carrier             STRING,
  flight              INT,
  tailnum             STRING,
  origin              STRING,
  dest                STRING,
  scheduled_departure TIMESTAMP(3),
  dep_delay           INT,
  arr_delay           INT,
  distance            INT,
  route      AS origin || '-' || dest,
  log_offset BIGINT METADATA FROM 'offset' VIRTUAL,
  -- Reports come in minutes after the fact. Ten minutes of patience cover nearly all of them;
  -- what comes later than that is counted as late.
  WATERMARK FOR event_time AS event_time - INTERVAL '10' MINUTE
) WITH (
  'connector'                    = 'kafka',
  'topic'                        = 'flight-events',
  'format'                       = 'json',
  'scan.startup.mode'            = 'earliest-offset',
  'scan.bounded.mode'            = 'latest-offset',
  -- After every row, so that Flink too judges lateness row by row.
  'scan.watermark.emit.strategy' = 'on-event'
);

---------------------------------------------------------------------------------------------------
-- The reference tables.
---------------------------------------------------------------------------------------------------

CREATE TABLE airlines (
  carrier STRING,
  name    STRING,
  PRIMARY KEY (carrier) NOT ENFORCED
) WITH (
  'connector' = 'filesystem',
  'path'      = 'examples/flights/data/airlines.csv',
  'format'    = 'csv'
);

CREATE TABLE airports (
  faa       STRING,
  name      STRING,
  latitude  DOUBLE,
  longitude DOUBLE,
  altitude  INT,      -- feet
  time_zone STRING,
  PRIMARY KEY (faa) NOT ENFORCED
) WITH (
  'connector'        = 'filesystem',
  'path'             = 'examples/flights/data/airports.csv',
  'format'           = 'csv',
  'csv.null-literal' = ''
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

CREATE TABLE weather (
  origin        STRING,
  hour_start    TIMESTAMP(3),  -- UTC
  temperature   DOUBLE,        -- degrees Fahrenheit
  humidity      DOUBLE,
  wind_speed    DOUBLE,        -- miles per hour
  precipitation DOUBLE,        -- inches
  visibility    DOUBLE,        -- miles
  PRIMARY KEY (origin, hour_start) NOT ENFORCED
) WITH (
  'connector'        = 'filesystem',
  'path'             = 'examples/flights/data/weather.csv',
  'format'           = 'csv',
  'csv.null-literal' = ''
);

---------------------------------------------------------------------------------------------------
-- What is computed.
---------------------------------------------------------------------------------------------------

-- Each airport's hour: flights that left or were given up, and how late they left.
CREATE VIEW airport_hours AS
SELECT
  window_start,
  window_end,
  origin,
  COUNT(*) FILTER (WHERE event_type = 'departed')  AS departures,
  COUNT(*) FILTER (WHERE event_type = 'cancelled') AS cancellations,
  COUNT(*) FILTER (WHERE dep_delay > 15)           AS late_departures,
  ROUND(AVG(CAST(dep_delay AS DOUBLE)), 1)         AS average_delay,
  MAX(dep_delay)                                   AS longest_delay
FROM TABLE(TUMBLE(TABLE flight_events, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
WHERE event_type IN ('departed', 'cancelled')
GROUP BY window_start, window_end, origin;

-- Every half hour, each airline's arrivals of the last three hours.
CREATE VIEW carrier_arrivals AS
SELECT
  window_start,
  window_end,
  carrier,
  COUNT(*)                                                AS arrivals,
  COUNT(arr_delay)                                        AS with_known_delay,
  SUM(CASE WHEN arr_delay <= 0 THEN 1 ELSE 0 END)         AS on_time,
  MIN(arr_delay)                                          AS shortest_delay,
  MAX(arr_delay)                                          AS longest_delay,
  AVG(arr_delay)                                          AS average_delay,
  SUM(distance)                                           AS miles_flown
FROM TABLE(HOP(TABLE flight_events, DESCRIPTOR(event_time), INTERVAL '30' MINUTE, INTERVAL '3' HOUR))
WHERE event_type = 'arrived'
GROUP BY window_start, window_end, carrier;

-- Departures two hours late or more. The cast makes the event time an ordinary column,
-- which is what Flink wants of a stream that enters a regular join.
CREATE VIEW long_delays AS
SELECT
  log_offset, event_id, CAST(event_time AS TIMESTAMP(3)) AS happened, carrier, flight, route, tailnum, dep_delay
FROM flight_events
WHERE event_type = 'departed' AND dep_delay >= 120;

CREATE VIEW cancelled_flights AS
SELECT
  log_offset, event_id, CAST(event_time AS TIMESTAMP(3)) AS happened, carrier, flight, route, tailnum
FROM flight_events
WHERE event_type = 'cancelled';

---------------------------------------------------------------------------------------------------
-- Where the results go.
---------------------------------------------------------------------------------------------------

CREATE TABLE airport_delays (
  window_start    TIMESTAMP(3),
  window_end      TIMESTAMP(3),
  origin          STRING,
  airport         STRING,
  departures      BIGINT,
  cancellations   BIGINT,
  late_departures BIGINT,
  average_delay   DOUBLE,
  longest_delay   INT,
  temperature     DOUBLE,
  wind_speed      DOUBLE,
  precipitation   DOUBLE,
  visibility      DOUBLE,
  conditions      STRING
) WITH (
  'connector' = 'kafka',
  'topic'     = 'airport-delays',
  'format'    = 'json'
);

CREATE TABLE carrier_punctuality (
  window_start     TIMESTAMP(3),
  window_end       TIMESTAMP(3),
  carrier          STRING,
  airline          STRING,
  arrivals         BIGINT,
  with_known_delay BIGINT,
  on_time          INT,
  shortest_delay   INT,
  longest_delay    INT,
  average_delay    INT,
  miles_flown      INT
) WITH (
  'connector' = 'kafka',
  'topic'     = 'carrier-punctuality',
  'format'    = 'json'
);

CREATE TABLE flight_alerts (
  log_offset BIGINT,        -- where in `flight-events` the reason lies
  event_id   STRING,
  happened   TIMESTAMP(3),
  severity   STRING,
  flight     STRING,
  route      STRING,
  reason     STRING,
  dep_delay  INT,
  seats      INT,
  aircraft   STRING
) WITH (
  'connector' = 'kafka',
  'topic'     = 'flight-alerts',
  'format'    = 'json'
);

CREATE TABLE daily_routes (
  day_start     TIMESTAMP(3),
  origin        STRING,
  dest          STRING,
  arrivals      BIGINT,
  average_delay DOUBLE,
  longest_delay INT
) WITH (
  'connector' = 'filesystem',
  'path'      = 'examples/flights/output/daily-routes',
  'format'    = 'csv'
);

CREATE TABLE worst_hours (
  hour_start    TIMESTAMP(3),
  airport       STRING,
  departures    BIGINT,
  cancellations BIGINT,
  average_delay DOUBLE,
  longest_delay INT
) WITH (
  'connector' = 'print'
);

INSERT INTO flight_events
SELECT
  event_id, event_type, event_time, carrier, flight, tailnum, origin, dest,
  scheduled_departure, dep_delay, arr_delay, distance
FROM arriving_events;

EXECUTE STATEMENT SET
BEGIN

-- Delays of each airport's hour, beside the airport's name and the weather of that hour.
INSERT INTO airport_delays
SELECT
  h.window_start, h.window_end, h.origin, a.name,
  h.departures, h.cancellations, h.late_departures, h.average_delay, h.longest_delay,
  w.temperature, w.wind_speed, w.precipitation, w.visibility,
  CASE
    WHEN w.visibility < 3 THEN 'low visibility'
    WHEN w.precipitation > 0 AND w.temperature <= 32 THEN 'snow or ice'
    WHEN w.precipitation > 0 THEN 'rain'
    WHEN w.wind_speed >= 25 THEN 'strong wind'
    ELSE 'fair'
  END
FROM airport_hours AS h
JOIN airports AS a ON h.origin = a.faa
JOIN weather AS w ON h.origin = w.origin AND h.window_start = w.hour_start;

INSERT INTO carrier_punctuality
SELECT
  c.window_start, c.window_end, c.carrier, l.name, c.arrivals, c.with_known_delay, c.on_time,
  c.shortest_delay, c.longest_delay, c.average_delay, c.miles_flown
FROM carrier_arrivals AS c
JOIN airlines AS l ON c.carrier = l.carrier;

-- What somebody should look at now: a large aircraft hours late, or a flight given up.
INSERT INTO flight_alerts
SELECT
  d.log_offset, d.event_id, d.happened,
  CASE WHEN d.dep_delay >= 240 THEN 'high' ELSE 'medium' END,
  d.carrier || CAST(d.flight AS STRING), d.route, 'long delay', d.dep_delay, p.seats,
  p.manufacturer || ' ' || p.model
FROM long_delays AS d
JOIN planes AS p ON d.tailnum = p.tailnum
WHERE p.seats >= 150
UNION ALL
SELECT
  log_offset, event_id, happened, 'high', carrier || CAST(flight AS STRING), route, 'cancelled',
  CAST(NULL AS INT), CAST(NULL AS INT), CAST(NULL AS STRING)
FROM cancelled_flights;

INSERT INTO daily_routes
SELECT window_start, origin, dest, COUNT(arr_delay), ROUND(AVG(CAST(arr_delay AS DOUBLE)), 1), MAX(arr_delay)
FROM TABLE(TUMBLE(TABLE flight_events, DESCRIPTOR(event_time), INTERVAL '1' DAY))
WHERE event_type = 'arrived'
GROUP BY window_start, window_end, origin, dest;

-- The hours to remember, on the terminal.
INSERT INTO worst_hours
SELECT h.window_start, a.name, h.departures, h.cancellations, h.average_delay, h.longest_delay
FROM airport_hours AS h
JOIN airports AS a ON h.origin = a.faa
WHERE h.departures >= 10 AND h.average_delay >= 75;

END;
