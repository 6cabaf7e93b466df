-- Patterns: every quantifier, conditions on the row alone and on earlier ones, measures, times, and where they stand.
CREATE TABLE ticker (
  symbol STRING, price INT, tax DECIMAL(10, 2), volume BIGINT, detail ROW<venue STRING, lots INT>, ts TIMESTAMP(3),
  proc AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'ticker', 'format' = 'json');
CREATE TABLE instants (symbol STRING, price INT, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts)
WITH ('connector' = 'kafka', 'topic' = 'instants', 'format' = 'json');
CREATE TABLE falls (symbol STRING, first_price INT, bottom INT, last_price INT, rows_down BIGINT, matched TIMESTAMP(3))
WITH ('connector' = 'print');
CREATE TABLE numbers (a BIGINT, b BIGINT) WITH ('connector' = 'print');
INSERT INTO falls
SELECT symbol, first_price, bottom, last_price, rows_down, matched
FROM ticker
MATCH_RECOGNIZE (
  PARTITION BY symbol
  ORDER BY ts, volume DESC
  MEASURES
    start_row.price AS first_price,
    LAST(price_down.price) AS bottom,
    LAST(price_up.price) AS last_price,
    COUNT(price_down.price) AS rows_down,
    MATCH_ROWTIME() AS matched
  ONE ROW PER MATCH
  AFTER MATCH SKIP TO LAST price_up
  PATTERN (start_row price_down+ price_up) WITHIN INTERVAL '1' HOUR
  DEFINE
    price_down AS
      (LAST(price_down.price, 1) IS NULL AND price_down.price < start_row.price)
      OR price_down.price < LAST(price_down.price, 1),
    price_up AS price_up.volume > 100 AND price_up.price > LAST(price_down.price, 1)
);
-- Unqualified columns, fields, aggregates over expressions, all of the bounds; measures that nobody reads are left out.
INSERT INTO numbers
SELECT total, m.first_lots
FROM (SELECT * FROM ticker WHERE price > 0) AS t
MATCH_RECOGNIZE (
  ORDER BY ts
  MEASURES
    SUM(b.price * b.volume) AS total,
    FIRST(a.detail.lots, 1) AS first_lots,
    AVG(tax) AS unread,
    MAX(c.symbol) AS unread_too
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (a{2} b{1,3}? c? d{2,}? e{0,2}?) WITHIN INTERVAL '10' MINUTE
  DEFINE
    a AS price > 10 AND detail.venue = 'x',
    b AS COUNT(*) < 9 AND AVG(a.tax) > b.tax,
    d AS d.symbol <> FIRST(symbol)
) AS m
WHERE total > 5;
-- On processing time; a condition on the partition goes below the pattern.
INSERT INTO numbers
SELECT COUNT(*), MAX(a_price) FROM ticker
MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY proc
  MEASURES a.price AS a_price, MATCH_PROCTIME() AS matched
  PATTERN (a b) DEFINE b AS b.price > a.price
)
WHERE symbol = 'ACME'
GROUP BY TUMBLE(matched, INTERVAL '1' MINUTE);
-- A window over the time of the matches, which is an instant here; a pattern in what another one found.
CREATE VIEW found AS SELECT * FROM instants MATCH_RECOGNIZE (
  ORDER BY ts MEASURES a.price AS a_price, MATCH_ROWTIME(ts) AS matched PATTERN (a b) DEFINE b AS b.price > a.price);
CREATE VIEW doubled AS SELECT * FROM found MATCH_RECOGNIZE (
  ORDER BY matched MEASURES x.a_price AS a_price, MATCH_ROWTIME(matched) AS matched
  PATTERN (x y z) DEFINE y AS y.a_price = 2 * x.a_price);
INSERT INTO numbers
SELECT COUNT(*), SUM(a_price)
FROM TABLE(TUMBLE(TABLE doubled, DESCRIPTOR(matched), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
