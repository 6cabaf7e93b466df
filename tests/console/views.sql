-- Views over the topic of the flights example, for the tour of the console: what comes before examples/flights/live.sql.

CREATE TABLE told (
  event_id   STRING,
  event_type STRING,
  carrier    STRING,
  flight     INT,
  origin     STRING,
  dest       STRING,
  dep_delay  INT
) WITH (
  'connector' = 'kafka',
  'topic' = 'flight-events',
  'format' = 'json',
  'scan.startup.mode' = 'earliest-offset',
  'dead-letter.topic' = 'unreadable-events'
);

CREATE MATERIALIZED TABLE departures
COMMENT 'flights that left, and how late, by airport'
AS SELECT origin, COUNT(*) AS departed, COUNT(*) FILTER (WHERE dep_delay > 15) AS late, MAX(dep_delay) AS longest_delay
FROM told WHERE event_type = 'departed' GROUP BY origin;

CREATE MATERIALIZED TABLE long_waits
COMMENT 'departures two hours late or more'
AS SELECT event_id, carrier, flight, origin || '-' || dest AS route, dep_delay
FROM told WHERE event_type = 'departed' AND dep_delay >= 120;
