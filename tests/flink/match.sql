-- Patterns in a month of flights, each result in a topic of its own.
--
-- The rows of the file come in the order of their event time but for three hours, which the watermark allows for, so
-- nothing is late. What shares a time and a plane is ordered by further columns where it matters. MATCH_ROWTIME is shown
-- where no match can wait for an earlier one: when those are let out depends on when Flink looks at its watermark.

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

-- A projection between the watermark and the pattern.
CREATE VIEW departures AS
SELECT event_id, event_time, carrier, tailnum, origin, dest, dep_delay, distance
FROM arriving_events WHERE event_type = 'departed';

-- Patterns are found in a view as anywhere else.
CREATE VIEW short_flights AS
SELECT landed_at, matched
FROM arriving_events
MATCH_RECOGNIZE (
  PARTITION BY tailnum
  ORDER BY event_time
  MEASURES a.dest AS landed_at, MATCH_ROWTIME() AS matched
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (d a) WITHIN INTERVAL '2' HOUR
  DEFINE d AS d.event_type = 'departed', a AS a.event_type = 'arrived' AND a.flight = d.flight
);

-- A plane lands somewhere and leaves New York again within twelve hours; its next flight may be announced in between.
CREATE TABLE turnarounds (
  tailnum STRING, landed STRING, left_again STRING, landed_at STRING, minutes INT, matched TIMESTAMP(3)
) WITH ('connector' = 'kafka', 'topic' = 'match-turnarounds', 'format' = 'json');

-- A plane gets later and later, three times at least, and is then in time again.
CREATE TABLE growing_delays (
  tailnum STRING, first_leg STRING, legs BIGINT, delays STRING, worst INT, average INT, last_leg STRING,
  ended TIMESTAMP(3)
) WITH ('connector' = 'kafka', 'topic' = 'match-growing-delays', 'format' = 'json');

-- The same with the default of AFTER MATCH, which is to go on with the next row.
CREATE TABLE every_growth (tailnum STRING, first_leg STRING, last_leg STRING, legs BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'match-every-growth', 'format' = 'json');

-- Two or three flights of a carrier from one airport in order of time and delay, up to one that is very late.
CREATE TABLE rushes (
  carrier STRING, origin STRING, first_event STRING, middle BIGINT, last_event STRING, miles INT, worst INT
) WITH ('connector' = 'kafka', 'topic' = 'match-rushes', 'format' = 'json');

-- A cancellation that follows a late landing; what is searched on begins with the last landing of the match.
CREATE TABLE cancelled_after (tailnum STRING, landings BIGINT, first_landing STRING, last_landing STRING, cancelled STRING)
WITH ('connector' = 'kafka', 'topic' = 'match-cancelled-after', 'format' = 'json');

-- No partition: five departures within an hour, one after the other and none of them late.
CREATE TABLE calm (first_event STRING, last_event STRING, least INT, most INT, carriers BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'match-calm', 'format' = 'json');

-- A plane flies to one place again, with two other flights between at most: reluctant bounds, also at the end.
CREATE TABLE repeated_trips (tailnum STRING, origin STRING, dest STRING, others BIGINT, again STRING, miles INT)
WITH ('connector' = 'kafka', 'topic' = 'match-repeated-trips', 'format' = 'json');

-- A window over the times of matches.
CREATE TABLE daily_landings (window_start TIMESTAMP(3), window_end TIMESTAMP(3), landed_at STRING, landings BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'match-daily-landings', 'format' = 'json');

EXECUTE STATEMENT SET
BEGIN

INSERT INTO turnarounds
SELECT tailnum, landed, left_again, landed_at, minutes, CAST(matched AS TIMESTAMP(3))
FROM arriving_events
MATCH_RECOGNIZE (
  PARTITION BY tailnum
  ORDER BY event_time
  MEASURES
    a.event_id AS landed,
    d.event_id AS left_again,
    a.dest AS landed_at,
    TIMESTAMPDIFF(MINUTE, a.event_time, d.event_time) AS minutes,
    MATCH_ROWTIME() AS matched
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (a s* d) WITHIN INTERVAL '12' HOUR
  DEFINE
    a AS a.event_type = 'arrived',
    s AS s.event_type = 'scheduled',
    d AS d.event_type = 'departed'
);

INSERT INTO growing_delays
SELECT tailnum, first_leg, legs, delays, worst, average, last_leg, CAST(ended AS TIMESTAMP(3))
FROM departures
MATCH_RECOGNIZE (
  PARTITION BY tailnum
  ORDER BY event_time, event_id
  MEASURES
    FIRST(up.event_id) AS first_leg,
    COUNT(up.event_id) AS legs,
    CAST(FIRST(up.dep_delay) AS STRING) || ' to ' || CAST(LAST(up.dep_delay) AS STRING) AS delays,
    MAX(up.dep_delay) AS worst,
    AVG(up.dep_delay) AS average,
    down.event_id AS last_leg,
    MATCH_ROWTIME() AS ended
  ONE ROW PER MATCH
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (up{3,} down)
  DEFINE
    up AS up.dep_delay > 0 AND (LAST(up.dep_delay, 1) IS NULL OR up.dep_delay > LAST(up.dep_delay, 1)),
    down AS down.dep_delay <= 0
);

INSERT INTO every_growth
SELECT *
FROM departures
MATCH_RECOGNIZE (
  PARTITION BY tailnum
  ORDER BY event_time, event_id
  MEASURES FIRST(up.event_id) AS first_leg, LAST(event_id) AS last_leg, COUNT(*) AS legs
  PATTERN (up+ down)
  DEFINE
    up AS up.dep_delay > 10 AND (LAST(up.dep_delay, 1) IS NULL OR up.dep_delay > LAST(up.dep_delay, 1)),
    down AS down.dep_delay < AVG(up.dep_delay) / 2
);

INSERT INTO rushes
SELECT carrier, origin, first_event, middle, last_event, miles, worst
FROM departures
MATCH_RECOGNIZE (
  PARTITION BY carrier, origin
  ORDER BY event_time, dep_delay DESC, event_id
  MEASURES
    x.event_id AS first_event,
    COUNT(y.event_id) AS middle,
    z.event_id AS last_event,
    SUM(distance) AS miles,
    MAX(dep_delay) AS worst
  AFTER MATCH SKIP TO FIRST y
  PATTERN (x y{1,2} z) WITHIN INTERVAL '30' MINUTE
  DEFINE
    y AS y.dep_delay > x.dep_delay,
    z AS z.dep_delay > 2 * LAST(y.dep_delay) AND SUM(y.distance) > 500
);

INSERT INTO cancelled_after
SELECT *
FROM arriving_events
MATCH_RECOGNIZE (
  PARTITION BY tailnum
  ORDER BY event_time, event_id
  MEASURES
    COUNT(late.event_id) AS landings,
    FIRST(late.event_id) AS first_landing,
    LAST(late.event_id) AS last_landing,
    gone.event_id AS cancelled
  AFTER MATCH SKIP TO LAST gone
  PATTERN (late any_other*? gone) WITHIN INTERVAL '1' DAY
  DEFINE
    late AS late.event_type = 'arrived' AND late.arr_delay > 30,
    any_other AS any_other.event_type <> 'arrived',
    gone AS gone.event_type = 'cancelled'
);

INSERT INTO calm
SELECT first_event, last_event, least, most, flights
FROM departures
MATCH_RECOGNIZE (
  ORDER BY event_time, event_id
  MEASURES
    FIRST(calm.event_id) AS first_event,
    LAST(calm.event_id) AS last_event,
    MIN(calm.dep_delay) AS least,
    MAX(calm.dep_delay) AS most,
    COUNT(*) AS flights
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (calm{5}) WITHIN INTERVAL '1' HOUR
  DEFINE calm AS calm.dep_delay <= 0
);

INSERT INTO repeated_trips
SELECT tailnum, first_origin, first_dest, others, again, miles
FROM departures
MATCH_RECOGNIZE (
  PARTITION BY tailnum
  ORDER BY event_time, event_id
  MEASURES
    FIRST(origin) AS first_origin,
    FIRST(dest) AS first_dest,
    COUNT(other.event_id) AS others,
    LAST(event_id) AS again,
    SUM(leaves.distance) + COALESCE(SUM(other.distance), 0) AS miles
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (leaves other{0,2}? same{1,2}?) WITHIN INTERVAL '36' HOUR
  DEFINE
    other AS other.dest <> leaves.dest,
    same AS same.dest = leaves.dest
);

INSERT INTO daily_landings
SELECT window_start, window_end, landed_at, COUNT(*)
FROM TABLE(TUMBLE(TABLE short_flights, DESCRIPTOR(matched), INTERVAL '1' DAY))
GROUP BY window_start, window_end, landed_at;

END;
