-- What the database holds: every type that a lookup reads, and what it must not be confused by.
CREATE SCHEMA "Sales";
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE "Sales".shops (
  id bigint PRIMARY KEY, "City" varchar(20), code character(3), mood mood, key uuid, is_open boolean,
  tiny smallint, rating numeric(5, 2), single real, double double precision, photo bytea,
  since date, opens time, changed timestamp, seen timestamptz
);
INSERT INTO "Sales".shops VALUES
  (1, 'Ulm', 'ulm', 'good', '3f2504e0-4f89-11d3-9a0c-0305e82c3301', true, 7, 4.50, 0.1, 1e300, '\x00ff',
   '2013-01-31', '08:30:00', '2013-01-31 12:34:56.789', '2013-01-31 12:34:56.789+02'),
  (2, 'O''Hara \ "x"', 'k', 'bad', NULL, false, -7, -0.05, 'NaN', '-Infinity', '', '0001-01-01', '23:59:59', NULL, NULL),
  (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE stock (shop integer, item text, pieces integer);
INSERT INTO stock SELECT 1 + n % 3, 'item ' || n, n FROM generate_series(1, 3000) AS n;
