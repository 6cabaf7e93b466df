-- Values within values, over a month of flights: what Apache Flink made of this file is in `golden/nested`.
--
-- Arrays, maps and rows are built, taken apart, searched and written as JSON; some of them change, so that UNNEST sees
-- rows go as well as come. Small carriers only: every row is compared.

SET 'table.dml-sync' = 'true';

---------------------------------------------------------------------------------------------------
-- Inputs.
---------------------------------------------------------------------------------------------------

CREATE TABLE events (
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
  engine       STRING
) WITH (
  'connector'        = 'filesystem',
  'path'             = 'examples/flights/data/planes.csv',
  'format'           = 'csv',
  'csv.null-literal' = ''
);

CREATE VIEW small_carriers AS
SELECT * FROM events WHERE carrier IN ('AS', 'F9', 'HA', 'OO', 'YV');

-- One row for each plane, which changes with every departure.
CREATE VIEW plane_lives AS
SELECT
  tailnum,
  COUNT(*)                                            AS departures,
  ARRAY[MIN(origin), MAX(origin)]                     AS origins,
  ARRAY_SORT(ARRAY_DISTINCT(ARRAY[MIN(dest), MAX(dest), MAX(origin)])) AS airports,
  MAP['first', MIN(dep_delay), 'worst', MAX(dep_delay)] AS delays
FROM small_carriers
WHERE event_type = 'departed'
GROUP BY tailnum;

---------------------------------------------------------------------------------------------------
-- Results.
---------------------------------------------------------------------------------------------------

-- Everything that can be put into everything, written as JSON.
CREATE TABLE nested_events (
  id      STRING,
  route   ROW<`from` STRING, `to` STRING, `days` ARRAY<BIGINT>>,
  parts   ARRAY<STRING>,
  delays  MAP<STRING, INT>,
  legs    ARRAY<ROW<airport STRING, minutes INT>>,
  tree    MAP<STRING, ARRAY<ROW<a INT, b ARRAY<STRING>>>>
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nested-events',
  'format'    = 'json'
);

-- The parts of what was put together, found again at any depth.
CREATE TABLE nested_parts (
  id         STRING,
  first_part STRING,
  last_part  STRING,
  missing    STRING,
  delay      INT,
  parts      INT,
  sorted     ARRAY<STRING>,
  has_s      BOOLEAN,
  same       BOOLEAN
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nested-parts',
  'format'    = 'json'
);

CREATE TABLE nested_words (
  tailnum STRING,
  place   INT,
  word    STRING
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nested-words',
  'format'    = 'json'
);

-- Rows whose array is empty or NULL stay.
CREATE TABLE nested_late (
  id      STRING,
  minutes INT,
  place   INT
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nested-late',
  'format'    = 'json'
);

-- Rows in an array become columns, entries of a map two.
CREATE TABLE nested_legs (
  id      STRING,
  airport STRING,
  minutes INT,
  kind    STRING,
  delay   INT
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nested-legs',
  'format'    = 'json'
);

CREATE TABLE nested_lateral (
  id   STRING,
  part STRING
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nested-lateral',
  'format'    = 'json'
);

CREATE TABLE nested_json (
  id       STRING,
  document STRING,
  again    STRING,
  part     STRING,
  delay    INT,
  listed   ARRAY<STRING>,
  is_late  BOOLEAN,
  missing  STRING
) WITH (
  'connector' = 'kafka',
  'topic'     = 'nested-json',
  'format'    = 'json'
);

-- An aggregate over the elements of arrays that change.
CREATE TABLE nested_origin_totals (
  origin  STRING,
  planes  BIGINT,
  flights BIGINT,
  PRIMARY KEY (origin) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'nested-origin-totals',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- The elements themselves, by their places: an array that gets shorter takes rows away.
CREATE TABLE nested_plane_airports (
  tailnum STRING,
  place   INT,
  airport STRING,
  PRIMARY KEY (tailnum, place) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'nested-plane-airports',
  'key.format'   = 'json',
  'value.format' = 'json'
);

-- Collections as keys of groups.
CREATE TABLE nested_groups (
  kind    STRING,
  planes  BIGINT,
  flights BIGINT,
  PRIMARY KEY (kind) NOT ENFORCED
) WITH (
  'connector'    = 'upsert-kafka',
  'topic'        = 'nested-groups',
  'key.format'   = 'json',
  'value.format' = 'json'
);

EXECUTE STATEMENT SET
BEGIN

INSERT INTO nested_events
SELECT
  event_id,
  ROW(origin, dest, ARRAY[DAYOFMONTH(event_time), DAYOFMONTH(scheduled_departure)]),
  SPLIT(event_id, '-'),
  MAP['departure', dep_delay, 'arrival', arr_delay],
  ARRAY[ROW(origin, dep_delay), ROW(dest, arr_delay)],
  MAP[carrier, ARRAY[ROW(flight, ARRAY[origin, tailnum]), ROW(distance, CAST(NULL AS ARRAY<STRING>))]]
FROM small_carriers;

INSERT INTO nested_parts
SELECT
  id,
  parts[1],
  parts[CARDINALITY(parts)],
  parts[99],
  delays['departure'],
  CARDINALITY(ARRAY_REMOVE(parts, 'EWR')),
  ARRAY_SORT(ARRAY_UNION(parts, ARRAY['EWR', 'JFK']), FALSE),
  ARRAY_CONTAINS(parts, 'S'),
  MAP['from', origin, 'to', dest] = MAP['to', dest, 'from', origin] AND parts = SPLIT(id, '-')
FROM (
  SELECT event_id AS id, SPLIT(event_id, '-') AS parts, MAP['departure', dep_delay, 'arrival', arr_delay] AS delays,
    origin, dest
  FROM small_carriers
);

INSERT INTO nested_words
SELECT tailnum, place, word
FROM planes CROSS JOIN UNNEST(SPLIT(model, '-')) WITH ORDINALITY AS w (word, place)
WHERE built > 2005 AND word <> '';

INSERT INTO nested_late
SELECT event_id, late.minutes, late.place
FROM (
  SELECT event_id, CASE WHEN dep_delay > 30 THEN ARRAY[dep_delay, arr_delay] WHEN dep_delay > 0 THEN ARRAY[dep_delay] END AS delays
  FROM small_carriers
) LEFT JOIN UNNEST(delays) WITH ORDINALITY AS late (minutes, place) ON TRUE;

INSERT INTO nested_legs
SELECT event_id, airport, minutes, kind, delay
FROM (
  SELECT event_id, ARRAY[ROW(origin, dep_delay), ROW(dest, arr_delay)] AS legs, MAP['departure', dep_delay, 'arrival', arr_delay] AS delays
  FROM small_carriers
  WHERE event_type = 'arrived'
)
CROSS JOIN UNNEST(legs) AS l (airport, minutes)
CROSS JOIN UNNEST(delays) AS d (kind, delay)
WHERE minutes IS NULL OR minutes <> 0;

-- What LATERAL computes itself Flink 2.3 leaves out, so this one only picks.
INSERT INTO nested_lateral
SELECT e.event_id, p.part
FROM small_carriers AS e
CROSS JOIN LATERAL (SELECT word AS part FROM UNNEST(SPLIT(e.event_id, '-')) AS w (word) WHERE word <> 'S') AS p
WHERE e.event_type = 'scheduled';

INSERT INTO nested_json
SELECT
  event_id,
  document,
  JSON_QUERY(document, '$.route'),
  JSON_VALUE(document, '$.route.legs[1]'),
  JSON_VALUE(document, '$.delays.departure' RETURNING INT NULL ON EMPTY NULL ON ERROR),
  JSON_QUERY(document, '$.route.legs' RETURNING ARRAY<STRING>),
  JSON_EXISTS(document, '$.delays.departure'),
  JSON_VALUE(document, 'lax $.nowhere.at.all' DEFAULT 'nothing' ON EMPTY)
FROM (
  SELECT event_id, JSON_OBJECT(
    'route' VALUE JSON_OBJECT('legs' VALUE ARRAY[origin, dest], 'miles' VALUE distance),
    'delays' VALUE MAP['departure', dep_delay, 'arrival', arr_delay],
    'when' VALUE event_time,
    'list' VALUE JSON_ARRAY(flight, tailnum, CAST(dep_delay AS DECIMAL(10, 2)) NULL ON NULL)
  ) AS document
  FROM small_carriers
);

INSERT INTO nested_origin_totals
SELECT origin, COUNT(*), SUM(departures)
FROM plane_lives CROSS JOIN UNNEST(origins) AS o (origin)
GROUP BY origin;

INSERT INTO nested_plane_airports
SELECT tailnum, place, airport
FROM plane_lives CROSS JOIN UNNEST(airports) WITH ORDINALITY AS a (airport, place)
WHERE tailnum IS NOT NULL
ON CONFLICT DO DEDUPLICATE;

INSERT INTO nested_groups
SELECT ARRAY_JOIN(airports, '+'), COUNT(*), SUM(departures)
FROM (SELECT airports, tailnum, departures FROM plane_lives)
GROUP BY airports
ON CONFLICT DO DEDUPLICATE;

END;
