-- Temporal joins by event time: a month of flights with the weather at the place and time of each departure.
--
-- The weather is a table whose versions come hour by hour. The other versioned table is a view: the latest arrival of each
-- plane. The watermarks allow for the disorder of the files, so nothing is late.

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
  dep_delay  INT,
  WATERMARK FOR event_time AS event_time - INTERVAL '3' HOUR
) WITH (
  'connector' = 'filesystem',
  'path'      = 'examples/flights/data/events.json.gz',
  'format'    = 'json'
);

CREATE TABLE weather (
  origin     STRING,
  hour_begun TIMESTAMP(3),
  temp       DOUBLE,
  humid      DOUBLE,
  wind_speed DOUBLE,
  precip     DOUBLE,
  visib      DOUBLE,
  WATERMARK FOR hour_begun AS hour_begun - INTERVAL '1' HOUR,
  PRIMARY KEY (origin) NOT ENFORCED
) WITH (
  'connector'        = 'filesystem',
  'path'             = 'examples/flights/data/weather.csv',
  'format'           = 'csv',
  'csv.null-literal' = ''
);

CREATE VIEW departures AS SELECT * FROM events WHERE event_type = 'departed';

-- The versions: each arrival of a plane, until the next one.
CREATE VIEW last_arrivals AS
SELECT tailnum, event_id, dest, event_time FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY tailnum ORDER BY event_time DESC) AS n
  FROM events WHERE event_type = 'arrived' AND tailnum IS NOT NULL
) WHERE n = 1;

CREATE TABLE departed_in (event_id STRING, hour_begun STRING, temp DOUBLE)
WITH ('connector' = 'kafka', 'topic' = 'temporal-weather', 'format' = 'json');

-- Planes that were not seen to arrive stand alone; a condition on the version leaves the row without it.
CREATE TABLE came_from (departure STRING, arrival STRING)
WITH ('connector' = 'kafka', 'topic' = 'temporal-arrivals', 'format' = 'json');

-- The pairs have the event time of the left side: a window goes on with it.
CREATE TABLE windy_hours (window_start TIMESTAMP(3), window_end TIMESTAMP(3), origin STRING, departures BIGINT, wind DOUBLE)
WITH ('connector' = 'kafka', 'topic' = 'temporal-windows', 'format' = 'json');

-- Filtered behind the join, and aggregated.
CREATE TABLE late_in_rain (
  carrier STRING NOT NULL, departures BIGINT, late BIGINT, PRIMARY KEY (carrier) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'temporal-rain', 'key.format' = 'json', 'value.format' = 'json');

EXECUTE STATEMENT SET BEGIN

INSERT INTO departed_in
SELECT d.event_id, CAST(w.hour_begun AS STRING), w.temp
FROM departures AS d
JOIN weather FOR SYSTEM_TIME AS OF d.event_time AS w ON d.origin = w.origin;

INSERT INTO came_from
SELECT d.event_id, a.event_id
FROM departures AS d
LEFT JOIN last_arrivals FOR SYSTEM_TIME AS OF d.event_time AS a ON d.tailnum = a.tailnum AND d.origin <> a.dest;

INSERT INTO windy_hours
SELECT window_start, window_end, origin, COUNT(*), MAX(wind_speed)
FROM TABLE(TUMBLE((
  SELECT d.event_time, d.origin, w.wind_speed
  FROM departures AS d
  LEFT JOIN weather FOR SYSTEM_TIME AS OF d.event_time AS w ON w.origin = d.origin
), DESCRIPTOR(event_time), INTERVAL '3' HOUR))
GROUP BY window_start, window_end, origin;

INSERT INTO late_in_rain
SELECT carrier, COUNT(*), COUNT(*) FILTER (WHERE dep_delay > 15)
FROM departures AS d
LEFT JOIN weather FOR SYSTEM_TIME AS OF d.event_time AS w ON d.origin = w.origin
WHERE w.precip > 0
GROUP BY carrier;

END;
