-- Windows of instants over the days on which New York sets its clocks: 23 and 25 hours.
SET 'table.local-time-zone' = 'America/New_York';
CREATE TABLE instants (
  id INT, k STRING, v INT, ms BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3), WATERMARK FOR ts AS ts - INTERVAL '5' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${data}/instants.csv', 'format' = 'csv');
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(TUMBLE(TABLE instants, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(TUMBLE(TABLE instants, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(TUMBLE(TABLE instants, DESCRIPTOR(ts), INTERVAL '6' HOUR)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(TUMBLE(TABLE instants, DESCRIPTOR(ts), INTERVAL '30' MINUTE)) GROUP BY window_start, window_end;
SELECT window_start, window_end, window_time, id FROM TABLE(TUMBLE(TABLE instants, DESCRIPTOR(ts), INTERVAL '4' HOUR));
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(TUMBLE(TABLE instants, DESCRIPTOR(ts), INTERVAL '1' DAY, INTERVAL '6' HOUR)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(HOP(TABLE instants, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '3' HOUR)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(HOP(TABLE instants, DESCRIPTOR(ts), INTERVAL '12' HOUR, INTERVAL '1' DAY)) GROUP BY window_start, window_end;
SELECT k, window_start, window_end, MAX(v) FROM TABLE(HOP(TABLE instants, DESCRIPTOR(ts), INTERVAL '2' HOUR, INTERVAL '4' HOUR)) GROUP BY k, window_start, window_end;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(CUMULATE(TABLE instants, DESCRIPTOR(ts), INTERVAL '6' HOUR, INTERVAL '1' DAY)) GROUP BY window_start, window_end;
SELECT window_start, window_end, COUNT(*), SUM(v) FROM TABLE(CUMULATE(TABLE instants, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '4' HOUR)) GROUP BY window_start, window_end;
SELECT window_start, window_end, k, COUNT(*) FROM TABLE(SESSION(TABLE instants PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' HOUR)) GROUP BY window_start, window_end, k;
SELECT TUMBLE_START(ts, INTERVAL '1' DAY) AS s, TUMBLE_END(ts, INTERVAL '1' DAY) AS e, COUNT(*) FROM instants GROUP BY TUMBLE(ts, INTERVAL '1' DAY);
SELECT HOP_START(ts, INTERVAL '1' HOUR, INTERVAL '2' HOUR) AS s, COUNT(*) FROM instants GROUP BY HOP(ts, INTERVAL '1' HOUR, INTERVAL '2' HOUR);
SELECT CAST(ts AS STRING) AS t, DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm') AS f, id FROM instants;
SELECT CAST(ts AS DATE) AS d, COUNT(*), SUM(v) FROM instants GROUP BY CAST(ts AS DATE);
SELECT id, SUM(v) OVER (ORDER BY ts RANGE BETWEEN INTERVAL '3' HOUR PRECEDING AND CURRENT ROW) FROM instants;
SELECT window_start, k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY v DESC, id) AS n FROM TABLE(TUMBLE(TABLE instants, DESCRIPTOR(ts), INTERVAL '8' HOUR))) WHERE n = 1;
SELECT a.id, b.id FROM instants AS a JOIN instants AS b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '3' HOUR AND a.ts AND a.id <> b.id;
SELECT window_start, window_end, SUM(n) FROM TABLE(TUMBLE((SELECT window_time AS t, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE instants, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, window_time), DESCRIPTOR(t), INTERVAL '1' DAY)) GROUP BY window_start, window_end;
