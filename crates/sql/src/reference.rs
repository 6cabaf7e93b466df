//! What the reference says of statements, queries and types; functions, settings and connectors have their texts in
//! their registries.
//!
//! `docs/reference/sql` is made of these tables by a test, which also runs every example: those of statements and queries one
//! after the other as one script, those of types as expressions.

/// Something that can be written.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    /// Brackets for what may be left out, a bar between alternatives.
    pub syntax: &'static str,
    pub doc: &'static str,
    pub example: &'static str,
}

const fn entry(name: &'static str, syntax: &'static str, doc: &'static str, example: &'static str) -> Entry {
    Entry { name, syntax, doc, example }
}

pub const STATEMENTS: &[Entry] = &[
    entry(
        "CREATE TABLE",
        "CREATE [OR REPLACE] [TEMPORARY] TABLE [IF NOT EXISTS] name (\n  column TYPE [NOT NULL] [COMMENT 'text'],\n  column AS expression,\n  column TYPE METADATA [FROM 'key'] [VIRTUAL],\n  WATERMARK FOR column AS expression,\n  PRIMARY KEY (columns) NOT ENFORCED\n) [COMMENT 'text'] [PARTITIONED BY (columns)] WITH ('connector' = '…', …)",
        "Declares a topic, a folder or a generator as a table. Nothing is made or read until a job does. The watermark says how late rows may come; the column becomes the event time.",
        "CREATE TABLE orders (
  id BIGINT,
  customer STRING,
  amount DECIMAL(10, 2),
  ordered TIMESTAMP(3),
  received TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  is_large AS amount > 100,
  WATERMARK FOR ordered AS ordered - INTERVAL '5' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json');
CREATE TABLE totals (
  customer STRING,
  orders BIGINT,
  amount DECIMAL(38, 2),
  PRIMARY KEY (customer) NOT ENFORCED
) WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json', 'value.format' = 'json');",
    ),
    entry(
        "CREATE TABLE … LIKE",
        "CREATE TABLE name [(…)] [WITH (…)] LIKE source [(\n  INCLUDING|EXCLUDING|OVERWRITING ALL|CONSTRAINTS|GENERATED|METADATA|OPTIONS|PARTITIONS|WATERMARKS …\n)]",
        "A table with the columns and options of another one, and what is declared beside them.",
        "CREATE TABLE archive WITH ('connector' = 'filesystem', 'path' = 'archive', 'format' = 'csv')
LIKE orders (EXCLUDING ALL);",
    ),
    entry(
        "CREATE TABLE … AS",
        "CREATE TABLE name [(…)] WITH (…) AS query",
        "A table with the columns of a query, and the job that fills it. A declared column that the query has gives its type; a list of names alone gives the order.",
        "CREATE TABLE large_orders WITH ('connector' = 'kafka', 'topic' = 'large-orders', 'format' = 'json')
AS SELECT id, customer, amount FROM orders WHERE is_large;",
    ),
    entry(
        "ALTER TABLE",
        "ALTER TABLE [IF EXISTS] name\n  ADD (column TYPE, …) | MODIFY (column TYPE, …) | DROP (columns) | RENAME column TO name\n  | DROP WATERMARK | DROP PRIMARY KEY | RENAME TO name | SET ('key' = 'value', …) | RESET ('key', …)",
        "Changes a declaration. Jobs that run keep theirs.",
        "ALTER TABLE orders ADD (note STRING);
ALTER TABLE orders DROP note;
ALTER TABLE archive SET ('sink.rolling-policy.rollover-interval' = '1 min');
ALTER TABLE archive RENAME TO old_orders;",
    ),
    entry(
        "CREATE VIEW",
        "CREATE [OR REPLACE] [TEMPORARY] VIEW [IF NOT EXISTS] name [(columns)] [COMMENT 'text'] AS query",
        "A name for a query. Jobs of one statement set that read the same view compute it once.",
        "CREATE VIEW customers AS SELECT DISTINCT customer FROM orders;",
    ),
    entry(
        "ALTER VIEW",
        "ALTER VIEW name RENAME TO name | AS query",
        "Renames a view or gives it another query.",
        "ALTER VIEW customers AS SELECT DISTINCT customer FROM orders WHERE is_large;",
    ),
    entry(
        "CREATE FUNCTION",
        "CREATE [TEMPORARY] [SYSTEM] FUNCTION [IF NOT EXISTS] name AS 'class' [LANGUAGE JAVA]",
        "A name for a class that is built in: `com.github.nexmark.flink.udf.CountChar`. There is no JVM to run others.",
        "CREATE FUNCTION count_char AS 'com.github.nexmark.flink.udf.CountChar';",
    ),
    entry(
        "CREATE DATABASE, CREATE CATALOG",
        "CREATE DATABASE [IF NOT EXISTS] name [COMMENT 'text'] [WITH (…)]\nCREATE CATALOG [IF NOT EXISTS] name WITH ('type' = 'generic_in_memory')\nALTER DATABASE name SET ('key' = 'value', …)",
        "Places for names: `catalog.database.table`. They last as long as the session.",
        "CREATE DATABASE shop;
ALTER DATABASE shop SET ('owner' = 'sales');",
    ),
    entry(
        "USE",
        "USE name\nUSE CATALOG name",
        "The database or the catalog in which names are looked up.",
        "USE shop;
USE default_database;",
    ),
    entry(
        "INSERT INTO",
        "INSERT INTO table [(columns)] query [ON CONFLICT DO {DEDUPLICATE | NOTHING | ERROR}]",
        "A job that writes the rows of a query into a table, column by column in their order; columns that are not named are NULL. `run` starts it; it ends when all its sources end. Where rows of different keys of the query have one PRIMARY KEY in the table, the latest stays, and the one before it comes back when that goes: ON CONFLICT DO DEDUPLICATE says that this is meant. DO NOTHING lets the first row stay and DO ERROR fails the job; both are decided when the watermark moves, by what the changes until then have left of the key, and want a WATERMARK in every table that the query reads.",
        "INSERT INTO totals SELECT customer, COUNT(*), SUM(amount) FROM orders GROUP BY customer;",
    ),
    entry(
        "EXECUTE STATEMENT SET",
        "EXECUTE STATEMENT SET BEGIN\n  INSERT INTO …;\n  …\nEND",
        "Several INSERTs as one job, which reads shared sources once and commits all results together.",
        "EXECUTE STATEMENT SET BEGIN
  INSERT INTO totals SELECT customer, COUNT(*), SUM(amount) FROM orders GROUP BY customer;
  INSERT INTO old_orders SELECT id, customer, amount, ordered FROM orders;
END;",
    ),
    entry(
        "EXPLAIN",
        "EXPLAIN [PLAN FOR | ESTIMATED_COST, CHANGELOG_MODE, PLAN_ADVICE, JSON_EXECUTION_PLAN] query | INSERT INTO … | statement set",
        "The plan of a job without running it: its operators, which changes flow between them, what is guaranteed, what each operator keeps (by which key, and until when), by which columns it updates, and advice. JSON_EXECUTION_PLAN adds all of it as JSON. `eventwright explain --analyze JOB` shows the operators of a running job with their rows, time and state.",
        "EXPLAIN SELECT customer, COUNT(*) FROM orders GROUP BY customer;\nEXPLAIN CHANGELOG_MODE, JSON_EXECUTION_PLAN SELECT customer, COUNT(*) FROM orders GROUP BY customer;",
    ),
    entry(
        "SHOW",
        "SHOW TABLES | VIEWS | DATABASES | CATALOGS | MODULES | [USER] FUNCTIONS | COLUMNS FROM table\n  | CURRENT DATABASE | CURRENT CATALOG | CREATE TABLE|VIEW|CATALOG name  [LIKE 'pattern']",
        "Lists what there is, or the statement that makes it.",
        "SHOW TABLES;
SHOW CREATE TABLE orders;
SHOW USER FUNCTIONS;",
    ),
    entry(
        "DESCRIBE",
        "DESCRIBE|DESC table or view\nDESCRIBE CATALOG|DATABASE [EXTENDED] name",
        "Columns with their types, keys and watermarks.",
        "DESCRIBE orders;",
    ),
    entry(
        "SET, RESET",
        "SET 'key' = 'value'\nSET\nRESET ['key']",
        "Changes a [setting](settings.md) for the jobs that follow, or lists all that are set.",
        "SET 'table.exec.state.ttl' = '1 d';
RESET 'table.exec.state.ttl';",
    ),
    entry(
        "DROP",
        "DROP [TEMPORARY] TABLE|VIEW|FUNCTION|DATABASE|CATALOG [IF EXISTS] name",
        "Forgets a declaration. Topics and files stay.",
        "DROP VIEW customers;
DROP FUNCTION count_char;
DROP DATABASE shop;",
    ),
];

/// Over the tables that the examples of statements have left.
pub const QUERIES: &[Entry] = &[
    entry(
        "SELECT … FROM … WHERE",
        "[WITH name AS (query), …]\nSELECT [DISTINCT] expression [AS name], … | * FROM table [AS name] [WHERE condition]",
        "Rows of a table, a view, a sub-query or a windowed table. Nested fields are named with dots. A SELECT of its own is a job that prints.",
        "WITH big AS (SELECT * FROM orders WHERE is_large) SELECT id, UPPER(customer) AS customer FROM big;",
    ),
    entry(
        "VALUES, SELECT without FROM, TABLE",
        "VALUES (expression, …), …\nFROM (VALUES (expression, …), …) AS t (a, b)\nSELECT expression [AS name], …\nTABLE name",
        "Rows that the statement holds itself, in the types that hold the values of all rows; they are there once, however often a job goes on after a crash. `TABLE t` is `SELECT * FROM t`.",
        "INSERT INTO totals VALUES ('ann', 1, 5.00), ('bob', 2, 7.50);
SELECT o.id, t.grade FROM orders AS o JOIN (VALUES (TRUE, 'big'), (FALSE, 'small')) AS t (is_large, grade) ON o.is_large = t.is_large;",
    ),
    entry(
        "GROUP BY, HAVING",
        "SELECT key, aggregate([DISTINCT] expression) [FILTER (WHERE condition)] … GROUP BY keys [HAVING condition]\nGROUP BY GROUPING SETS ((a, b), a, ()) | ROLLUP (a, b) | CUBE (a, b)",
        "One row for each group, which changes as rows come: the sink must take updates. The [aggregates](functions.md#aggregates) stand on the page of functions. GROUPING(a), GROUPING_ID(a, b) and GROUP_ID() say of which grouping set a row is.",
        "SELECT customer, COUNT(*) FILTER (WHERE is_large), AVG(amount) FROM orders GROUP BY customer HAVING COUNT(*) > 1;
SELECT customer, is_large, COUNT(*) FROM orders GROUP BY ROLLUP (customer, is_large);",
    ),
    entry(
        "Windows",
        "FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), size [, offset]))\nFROM TABLE(HOP(TABLE t, DESCRIPTOR(time), slide, size [, offset]))\nFROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(time), step, size))\nFROM TABLE(SESSION(TABLE t [PARTITION BY keys], DESCRIPTOR(time), gap))",
        "Each row with the windows it lies in: `window_start`, `window_end`, `window_time`. Grouped by both bounds, a window gives its rows once, when the watermark passes its end; rows that come later are counted as late. The forms `GROUP BY TUMBLE(time, size)` and `TUMBLE_START(time, size)` work too.",
        "SELECT window_start, window_end, customer, SUM(amount)
FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ordered), INTERVAL '1' MINUTE, INTERVAL '10' MINUTES))
GROUP BY window_start, window_end, customer;",
    ),
    entry(
        "Joins",
        "FROM a [INNER|LEFT|RIGHT|FULL] JOIN b ON condition | USING (columns)\nFROM a NATURAL [LEFT|RIGHT|FULL] JOIN b\nFROM a CROSS JOIN b\nFROM a, b",
        "Rows of both sides that fit, kept as long as `table.exec.state.ttl` says. USING and NATURAL show the columns that they compare once, and first. Two windowed tables that are joined by both window bounds are kept until their window ends, and joined INNER, LEFT, RIGHT or FULL.",
        "SELECT a.id, b.id AS other FROM orders AS a LEFT JOIN orders AS b ON a.customer = b.customer AND a.id < b.id;",
    ),
    entry(
        "UNNEST, LATERAL",
        "FROM t CROSS JOIN UNNEST(collection) [WITH ORDINALITY] AS name [(columns)]\nFROM t LEFT JOIN UNNEST(collection) [WITH ORDINALITY] AS name [(columns)] ON TRUE\nFROM UNNEST(collection) AS name [(columns)]\nFROM t CROSS | LEFT JOIN LATERAL (SELECT … FROM … [WHERE condition]) AS name [(columns)] [ON TRUE]",
        "Each row once per element of an array, entry of a map (key and value) or occurrence in a multiset; rows as elements become columns, and a row that is NULL is no element. WITH ORDINALITY numbers the elements from 1. LEFT keeps rows whose collection is empty or NULL. Changes pass through. A LATERAL query of FROM and WHERE may read columns of what stands before it.",
        "SELECT o.id, w.word, w.place FROM orders AS o CROSS JOIN UNNEST(SPLIT(o.customer, ' ')) WITH ORDINALITY AS w (word, place);
SELECT o.id, l.part FROM orders AS o CROSS JOIN LATERAL (SELECT LOWER(word) AS part FROM UNNEST(SPLIT(o.customer, ' ')) AS w (word) WHERE word <> '') AS l;",
    ),
    entry(
        "OVER windows",
        "SELECT aggregate OVER (\n  [PARTITION BY keys] ORDER BY time\n  [ROWS|RANGE BETWEEN n PRECEDING|UNBOUNDED PRECEDING AND CURRENT ROW]\n) … FROM t\nSELECT aggregate OVER w, … FROM t WINDOW w AS (…)",
        "Each row with aggregates over the rows up to it; all of one SELECT over one window. Without a frame it is RANGE UNBOUNDED PRECEDING: rows of equal time see each other. By event time a row comes when the watermark passes it; rows that come late are dropped, but those of a frame with a begin only when they are not later than the last row of their key. By processing time it comes at once (of a RANGE of time when the clock has passed). By another column, ascending and without a begin of the frame, rows change when others come before them.",
        "SELECT id, SUM(amount) OVER (PARTITION BY customer ORDER BY ordered ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) FROM orders;
SELECT id, COUNT(*) OVER w AS orders, AVG(amount) OVER w AS average, LAG(id) OVER w AS earlier
FROM orders WINDOW w AS (PARTITION BY customer ORDER BY ordered);
SELECT id, SUM(amount) OVER (ORDER BY amount) AS up_to FROM orders;",
    ),
    entry(
        "Temporal joins",
        "FROM a [LEFT] JOIN t FOR SYSTEM_TIME AS OF a.row_time [AS b] ON a.k = b.k [AND condition]",
        "Each row of `a` with the version of `t` that was valid at its event time, once the watermarks of both have passed it. `t` is a table with a primary key and a watermark, of which each row is valid from its time until the next row of its key or its deletion, or a view that keeps the latest row of each key by ROW_NUMBER. The whole key must be compared. Old versions are forgotten with the watermark.",
        "CREATE TABLE prices (item STRING, price DECIMAL(10, 2), since TIMESTAMP(3), WATERMARK FOR since AS since, PRIMARY KEY (item) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'prices', 'key.format' = 'json', 'value.format' = 'json');
SELECT o.id, p.price FROM orders AS o LEFT JOIN prices FOR SYSTEM_TIME AS OF o.ordered AS p ON o.customer = p.item;",
    ),
    entry(
        "Lookup joins",
        "FROM a [LEFT] JOIN t FOR SYSTEM_TIME AS OF a.proc [AS b] ON a.k = b.k [AND condition]",
        "Each row of `a` with the rows of `t` as they are when it comes by; `proc` is a processing time of `a`. A table in a database ('connector' = 'jdbc') is asked for the rows of a key, which its options may cache; a table of files is read to its end first. A row waits until its answer is there and holds the watermark back. What was answered lies in the job's log, so a job that is run again gives the same rows. `a` gives inserts only.",
        "CREATE TABLE deliveries (id BIGINT, shop BIGINT, proc AS PROCTIME()) WITH ('connector' = 'kafka', 'topic' = 'deliveries', 'format' = 'json');
CREATE TABLE shops (id BIGINT, city STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:shop.db', 'table-name' = 'shops', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.expire-after-write' = '10 min');
SELECT d.id, s.city FROM deliveries AS d LEFT JOIN shops FOR SYSTEM_TIME AS OF d.proc AS s ON d.shop = s.id AND s.city <> 'Ulm';",
    ),
    entry(
        "Top-N and deduplication",
        "SELECT … FROM (\n  SELECT *, ROW_NUMBER() OVER (PARTITION BY keys ORDER BY columns [ASC|DESC]) AS place FROM t\n) WHERE place <= n",
        "The first n rows of each key, changing as rows come; with the bounds of a window among the keys once for each window.",
        "SELECT customer, amount FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount DESC) AS place FROM orders
) WHERE place <= 3;",
    ),
    entry(
        "MATCH_RECOGNIZE",
        "FROM table [AS name] MATCH_RECOGNIZE (\n  [PARTITION BY columns]\n  ORDER BY time [, column [ASC|DESC], …]\n  MEASURES expression AS name, …\n  [ONE ROW PER MATCH]\n  [AFTER MATCH SKIP PAST LAST ROW | TO NEXT ROW | TO [FIRST|LAST] variable]\n  PATTERN (variable[quantifier] …) [WITHIN interval]\n  DEFINE variable AS condition, …\n) [AS name]",
        "A row for each stretch of rows that a pattern describes: the columns of PARTITION BY, then the MEASURES. A pattern names variables one behind the other; a row is mapped to a variable if its condition in DEFINE holds, and any row is if it has none. Quantifiers: `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`, `{,m}`; a `?` behind one makes it reluctant, which the last variable's must be. `a.x` is x of the last row of `a` so far, and in the condition of `a` of the row itself; `x` alone is that of the last row of all. `FIRST(a.x, n)` and `LAST(a.x, n)` are those of the n-th row behind the first or before the last. Aggregates take the rows of one variable, or of all, without DISTINCT and FILTER. `MATCH_ROWTIME()` and `MATCH_PROCTIME()` are times for windows behind. Without AFTER MATCH the search goes on with the next row, as in Flink. All rows of a match lie closer together than WITHIN; what is too old is forgotten, so a pattern over a stream should have one. Event time: late rows are dropped and counted. A partition may have 65,536 matches under way. Not supported: alternatives, PERMUTE, exclusions, anchors, groups with a quantifier, SUBSET, ALL ROWS PER MATCH, CLASSIFIER, MATCH_NUMBER, PREV and NEXT.",
        "SELECT customer, first_id, orders, total
FROM orders MATCH_RECOGNIZE (
  PARTITION BY customer
  ORDER BY ordered
  MEASURES FIRST(up.id) AS first_id, COUNT(up.id) AS orders, SUM(amount) AS total, MATCH_ROWTIME() AS matched
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (up{3,} down) WITHIN INTERVAL '1' HOUR
  DEFINE
    up AS LAST(up.amount, 1) IS NULL OR up.amount > LAST(up.amount, 1),
    down AS down.amount < LAST(up.amount)
);",
    ),
    entry(
        "ORDER BY, LIMIT, OFFSET",
        "query ORDER BY expression [ASC|DESC] [NULLS FIRST|LAST], … LIMIT n [OFFSET m]\nquery ORDER BY … OFFSET m ROWS FETCH NEXT n ROWS ONLY\nquery LIMIT n\nSELECT … FROM t ORDER BY time [, …]",
        "With LIMIT the first rows of an order, which change as rows come; without ORDER BY the first rows to come, to which none is added later. Without LIMIT only the order of a time attribute, ascending, can be had: by event time rows wait for the watermark. The order of a sub-query means nothing.",
        "SELECT customer, COUNT(*) AS orders FROM orders GROUP BY customer ORDER BY orders DESC, customer LIMIT 10;
SELECT id, amount FROM orders ORDER BY ordered, amount DESC;
SELECT id FROM orders LIMIT 100;",
    ),
    entry(
        "QUALIFY",
        "SELECT … FROM t QUALIFY condition over window functions",
        "Rows for which the condition is true, where it can name ROW_NUMBER and other window functions, and items by their names.",
        "SELECT id, customer, amount FROM orders
QUALIFY ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount DESC) <= 3;",
    ),
    entry(
        "UNION, INTERSECT, EXCEPT",
        "query UNION|INTERSECT|EXCEPT [ALL] query",
        "The rows of both, those that are on both sides, and those that are on the left side only. Without ALL each is shown once, with ALL as often as it is there. NULLs are equal here.",
        "SELECT id FROM orders WHERE is_large UNION ALL SELECT id FROM large_orders;
SELECT customer FROM orders INTERSECT SELECT customer FROM large_orders;
SELECT id FROM orders EXCEPT ALL SELECT id FROM large_orders;",
    ),
    entry(
        "Sub-queries",
        "expression [NOT] IN (query) | (a, b) IN (query) | [NOT] EXISTS (query) | expression {= | <> | < | <= | > | >=} {ANY | SOME | ALL} (query) | (query)",
        "Conditions and values made of another query. They stand in SELECT (also beside aggregates and inside them), WHERE, ON and HAVING, and may name columns of the query around them in any condition; equalities are cheapest. As a condition of WHERE that is joined by AND, IN and EXISTS are semi and anti joins. A value is an aggregate, or a query that has one row at most: more fail the job. `> ALL` of no rows is TRUE.",
        "SELECT id, customer IN (SELECT customer FROM large_orders) AS is_known FROM orders;
SELECT id FROM orders AS o WHERE is_large OR EXISTS (SELECT 1 FROM large_orders AS l WHERE l.customer = o.customer);
SELECT id, (SELECT MAX(l.amount) FROM large_orders AS l WHERE l.customer = o.customer) AS largest FROM orders AS o;
SELECT customer, COUNT(*) FROM orders GROUP BY customer HAVING COUNT(*) > ALL (SELECT id FROM large_orders);",
    ),
    entry(
        "Hints",
        "FROM table /*+ OPTIONS('key' = 'value') */\nSELECT /*+ LOOKUP('table' = 'name', 'key' = 'value', …) */ …\nSELECT /*+ STATE_TTL('table' = 'duration', …) */ …\nSELECT /*+ {BROADCAST | SHUFFLE_HASH | SHUFFLE_MERGE | NEST_LOOP | MULTI_JOIN}(table, …) */ …",
        "OPTIONS gives other options of a table for one query. LOOKUP says how a lookup join asks its table; the options are below. STATE_TTL says how long a regular join keeps the rows of a side that was not written, or an aggregate the groups of its table, before `table.exec.state.ttl`; '0' is for ever. It names tables or aliases of FROM in its own SELECT. An inner join by an equality of two inputs that end, and whose rows do not change, reads one of them whole before the other and keeps it in memory: the one that BROADCAST, SHUFFLE_HASH or NEST_LOOP names, which should be the smaller; else the right one, or the left one if the right one alone has a watermark. Apart from that hints that choose how a join is done have no effect, because there is one way; the tables that they name must be there.",
        "SELECT id FROM orders /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */;
SELECT /*+ LOOKUP('table' = 's', 'async' = 'true', 'output-mode' = 'ALLOW_UNORDERED', 'capacity' = '500') */ d.id, s.city
FROM deliveries AS d JOIN shops FOR SYSTEM_TIME AS OF d.proc AS s ON d.shop = s.id;
SELECT /*+ STATE_TTL('o' = '12 h', 'l' = '0') */ o.id FROM orders AS o JOIN large_orders AS l ON o.id = l.id;
SELECT /*+ BROADCAST(l) */ o.id FROM orders AS o JOIN large_orders AS l ON o.id = l.id;",
    ),
];

/// The example is an expression, and the value as `print` shows it stands behind the arrow.
pub const TYPES: &[Entry] = &[
    entry("BOOLEAN", "BOOLEAN", "TRUE, FALSE or NULL.", "CAST('yes' AS BOOLEAN) => TRUE"),
    entry(
        "TINYINT, SMALLINT, INT, BIGINT",
        "TINYINT | SMALLINT | INT | INTEGER | BIGINT",
        "Whole numbers of 1, 2, 4 and 8 bytes; they wrap when they overflow.",
        "CAST(2147483647 AS INT) + 1 => -2147483648",
    ),
    entry(
        "FLOAT, DOUBLE",
        "FLOAT | DOUBLE [PRECISION]",
        "Binary floating point of 4 and 8 bytes.",
        "CAST(10000000000 AS DOUBLE) => 1.0E10",
    ),
    entry(
        "DECIMAL",
        "DECIMAL(precision, scale) | DEC | NUMERIC",
        "Up to 38 digits, exact; what does not fit is NULL.",
        "CAST('1.005' AS DECIMAL(10, 2)) => 1.01",
    ),
    entry(
        "CHAR, VARCHAR, STRING",
        "CHAR(n) | VARCHAR(n) | STRING",
        "Texts; lengths count code points.",
        "CAST('abc' AS VARCHAR(2)) => ab",
    ),
    entry(
        "BINARY, VARBINARY, BYTES",
        "BINARY(n) | VARBINARY(n) | BYTES",
        "Bytes.",
        "CAST(x'4869' AS STRING) => Hi",
    ),
    entry(
        "DATE, TIME",
        "DATE | TIME[(p)]",
        "A day; a time of day in milliseconds.",
        "CAST('2026-02-28' AS DATE) + INTERVAL '1' DAY => 2026-03-01",
    ),
    entry(
        "TIMESTAMP",
        "TIMESTAMP[(p)] [WITHOUT TIME ZONE]",
        "A date with a time of day, in no zone, of up to 9 fractional digits.",
        "TIMESTAMP '2026-01-31 10:00:00' + INTERVAL '1' MONTH => 2026-02-28 10:00:00",
    ),
    entry(
        "TIMESTAMP_LTZ",
        "TIMESTAMP_LTZ[(p)] | TIMESTAMP[(p)] WITH LOCAL TIME ZONE",
        "A moment, shown in the zone of `table.local-time-zone`.",
        "TO_TIMESTAMP_LTZ(0, 3) => 1970-01-01 00:00:00.000",
    ),
    entry(
        "INTERVAL",
        "INTERVAL '1' DAY | INTERVAL '1-2' YEAR TO MONTH | …",
        "A span of months, or of days and milliseconds.",
        "TIMESTAMP '2026-01-01 00:00:00' - INTERVAL '90' MINUTE => 2025-12-31 22:30:00",
    ),
    entry("ARRAY", "ARRAY<type>", "Values of one type, counted from 1.", "ARRAY[1, 2, 3][2] => 2"),
    entry(
        "MAP",
        "MAP<type, type>",
        "Values by keys, in the order in which they were put in; a key is not NULL.",
        "MAP['a', 1, 'b', 2]['b'] => 2",
    ),
    entry(
        "MULTISET",
        "MULTISET<type>",
        "Values and how often each is in it.",
        "CARDINALITY(CAST(NULL AS MULTISET<INT>)) => NULL",
    ),
    entry(
        "VARIANT",
        "VARIANT",
        "A value of JSON, which PARSE_JSON gives; no column of a table. `v['field']` and `v[1]` are its parts.",
        "PARSE_JSON('{\"a\": [1, 2]}')['a'][2] => 2",
    ),
    entry(
        "ROW",
        "ROW<name TYPE, …>",
        "Named fields; `a.b` is the field b of a.",
        "ROW(1, 'x') IS NOT NULL => TRUE",
    ),
];

/// Forms with clauses of their own, each with an expression and its value.
pub const FORMS: &[Entry] = &[
    entry(
        "ARRAY[…], MAP[…], ROW(…)",
        "ARRAY[value, …] | MAP[key, value, …] | ROW(value, …) | (value, value, …)",
        "Values of their common type as an array; keys and values as a map, where the last of equal keys stands; values as a \
row.",
        "ARRAY[1, 2.5] => [1.0, 2.5]",
    ),
    entry(
        "[ ]",
        "array[n] | map[key] | variant['field'] | variant[n]",
        "An element of an array, counted from 1, the value of a key, or a part of a VARIANT; NULL where there is none.",
        "MAP['a', ARRAY[1, 2]]['a'][2] => 2",
    ),
    entry(
        "=, <>, IS DISTINCT FROM",
        "value = value",
        "Arrays, maps, multisets and rows are equal where all that they hold is; inside of arrays \
and rows NULL equals NULL, but a map with a NULL among its values equals no map. They have no order.",
        "MAP['a', 1, 'b', 2] = MAP['b', 2, 'a', 1] => TRUE",
    ),
    entry(
        "IS JSON",
        "text IS [NOT] JSON [VALUE | OBJECT | ARRAY | SCALAR]",
        "Whether a text begins with a JSON value, of a kind; FALSE for NULL.",
        "'{\"a\": 1}' IS JSON OBJECT => TRUE",
    ),
    entry(
        "JSON_EXISTS",
        "JSON_EXISTS(text, path [TRUE | FALSE | UNKNOWN | ERROR ON ERROR])",
        "Whether a path leads to a value that is not null. FALSE ON ERROR unless something else is written.",
        "JSON_EXISTS('{\"a\": [1]}', '$.a[0]') => TRUE",
    ),
    entry(
        "JSON_VALUE",
        "JSON_VALUE(text, path [RETURNING STRING | BOOLEAN | INT | DOUBLE] [NULL | ERROR | DEFAULT value ON EMPTY] [NULL | \
ERROR | DEFAULT value ON ERROR])",
        "The scalar at a path. A scalar of another type than the one to be returned fails the job.",
        "JSON_VALUE('{\"a\": {\"b\": 7}}', '$.a.b' RETURNING INT) => 7",
    ),
    entry(
        "JSON_QUERY",
        "JSON_QUERY(text, path [RETURNING STRING | ARRAY<STRING>] [WITHOUT | WITH [CONDITIONAL] WRAPPER] [NULL | EMPTY ARRAY | \
EMPTY OBJECT | ERROR ON EMPTY] [… ON ERROR])",
        "The object or array at a path as compact JSON with sorted fields.",
        "JSON_QUERY('{\"a\": [{\"b\": 1}, {\"b\": 2}]}', '$.a[?(@.b > 1)]') => [{\"b\":2}]",
    ),
    entry(
        "JSON_OBJECT",
        "JSON_OBJECT([[KEY] name VALUE value, …] [NULL | ABSENT ON NULL])",
        "A JSON object. What JSON_OBJECT, JSON_ARRAY and JSON(text) give goes in as JSON, other texts as texts.",
        "JSON_OBJECT('a' VALUE JSON_ARRAY(1, 'x')) => {\"a\":[1,\"x\"]}",
    ),
    entry(
        "JSON_ARRAY",
        "JSON_ARRAY([value, …] [NULL | ABSENT ON NULL])",
        "A JSON array; NULLs are left out unless NULL ON NULL is written.",
        "JSON_ARRAY(JSON('{\"a\": 1.50}'), NULL, 2) => [{\"a\":1.50},2]",
    ),
    entry(
        "JSON paths",
        "[strict | lax] $ | .name | ['name'] | [n] | [n, m] | [from:to] | [*] | .* | ..name | [?(condition)] | .function()",
        "A strict path, as one without a word is, makes an error of what is not there, a lax one nothing. Elements count from 0, or \
from the end by negative numbers. Conditions compare `@.field` with `==`, `!=`, `<`, `<=`, `>`, `>=`, `=~ /pattern/`, `in`, \
`nin`, `contains`, `size`, `empty`, `subsetof`, `anyof`, `noneof`, joined by `&&`, `||` and `!`. Functions: length, size, keys, \
min, max, avg, sum, stddev, first, last, index, concat, append.",
        "JSON_VALUE('[3, 4, 5]', '$.length()') => 3",
    ),
];
