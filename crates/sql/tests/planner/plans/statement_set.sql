-- One plan for a statement set: what two INSERTs share is there once.
CREATE TABLE events (k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'events', 'format' = 'json');
CREATE TABLE names (k STRING, name STRING) WITH ('connector' = 'filesystem', 'path' = 'names.csv', 'format' = 'csv');
CREATE TABLE a (k STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json');
CREATE TABLE b (k STRING NOT NULL, n DOUBLE) WITH ('connector' = 'kafka', 'topic' = 'b', 'format' = 'json');
CREATE VIEW per_minute (minute_start, k, n) AS
SELECT window_start, k, COUNT(*) FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, k;
EXECUTE STATEMENT SET BEGIN
INSERT INTO a SELECT k, n FROM per_minute WHERE n > 5;
INSERT INTO b SELECT x.name, p.n FROM per_minute AS p JOIN names AS x ON p.k = x.k
UNION ALL SELECT k, CAST(v AS BIGINT) FROM events WHERE v IS NOT NULL;
INSERT INTO a SELECT a.k, 1 FROM names AS a JOIN names AS b ON a.k = b.name;
END;
SET 'table.exec.sink.not-null-enforcer' = 'DROP';
INSERT INTO b SELECT k, v FROM events /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */;
