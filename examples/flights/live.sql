-- The flights as they happen: reads the topic `flight-events` for ever, and runs until it is stopped.
--
--     eventwright run examples/flights/live.sql
--
-- Feed the topic with `eventwright topic produce flight-events` or any Kafka client: one JSON object a record, like
-- the lines of examples/flights/data/events.json.gz. A window's result appears as soon as an event arrives
-- whose time is ten minutes past the window's end; an alert appears at once. What is no event goes to
-- `unreadable-events`: `eventwright dlq show unreadable-events`, or Dead letters in the console.

SET 'table.dml-sync' = 'true';

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
  -- What is no event is kept there, and the job goes on (an option of Eventwright's; leave it out on Flink).
  'dead-letter.topic'            = 'unreadable-events',
  -- After every row, so that Flink too judges lateness row by row.
  'scan.watermark.emit.strategy' = 'on-event'
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

-- Every five minutes, what each airport did in the last half hour.
CREATE VIEW recent_departures AS
SELECT
  window_start,
  window_end,
  origin,
  COUNT(*)                                 AS departures,
  COUNT(*) FILTER (WHERE dep_delay > 15)   AS late_departures,
  ROUND(AVG(CAST(dep_delay AS DOUBLE)), 1) AS average_delay,
  MAX(dep_delay)                           AS longest_delay
FROM TABLE(HOP(TABLE flight_events, DESCRIPTOR(event_time), INTERVAL '5' MINUTE, INTERVAL '30' MINUTE))
WHERE event_type = 'departed'
GROUP BY window_start, window_end, origin;

CREATE VIEW trouble AS
SELECT
  log_offset, CAST(event_time AS TIMESTAMP(3)) AS happened, event_type,
  carrier || CAST(flight AS STRING) AS flight, route, tailnum, dep_delay
FROM flight_events
WHERE event_type = 'cancelled' OR (event_type = 'departed' AND dep_delay >= 60);

CREATE TABLE live_delays (
  window_start    TIMESTAMP(3),
  window_end      TIMESTAMP(3),
  origin          STRING,
  airport         STRING,
  departures      BIGINT,
  late_departures BIGINT,
  average_delay   DOUBLE,
  longest_delay   INT
) WITH (
  'connector' = 'kafka',
  'topic'     = 'live-delays',
  'format'    = 'json'
);

CREATE TABLE live_alerts (
  log_offset BIGINT,
  happened   TIMESTAMP(3),
  flight     STRING,
  route      STRING,
  reason     STRING,
  dep_delay  INT,
  aircraft   STRING
) WITH (
  'connector' = 'kafka',
  'topic'     = 'live-alerts',
  'format'    = 'json'
);

CREATE TABLE bulletin (
  hour_end      TIMESTAMP(3),
  airport       STRING,
  departures    BIGINT,
  average_delay DOUBLE
) WITH (
  'connector' = 'print'
);

EXECUTE STATEMENT SET
BEGIN

INSERT INTO live_delays
SELECT
  r.window_start, r.window_end, r.origin, a.name, r.departures, r.late_departures, r.average_delay, r.longest_delay
FROM recent_departures AS r
JOIN airports AS a ON r.origin = a.faa;

INSERT INTO live_alerts
SELECT t.log_offset, t.happened, t.flight, t.route, 'long delay', t.dep_delay, p.manufacturer || ' ' || p.model
FROM trouble AS t
JOIN planes AS p ON t.tailnum = p.tailnum
WHERE t.event_type = 'departed' AND p.seats >= 150
UNION ALL
SELECT log_offset, happened, flight, route, 'cancelled', CAST(NULL AS INT), CAST(NULL AS STRING)
FROM trouble
WHERE event_type = 'cancelled';

INSERT INTO bulletin
SELECT window_end, origin, COUNT(*), ROUND(AVG(CAST(dep_delay AS DOUBLE)), 1)
FROM TABLE(TUMBLE(TABLE flight_events, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
WHERE event_type = 'departed'
GROUP BY window_start, window_end, origin;

END;
