-- Copies two tables: one whose changes repeat the row as it was, and one whose rows are known by their key.
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '100000';
SET 'restart-strategy.fixed-delay.delay' = '50 ms';
CREATE TABLE items (id INT, grp INT NOT NULL, n BIGINT NOT NULL, name STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '${PORT}', 'username' = '${WHO}',
  'password' = '${PASSWORD}', 'database-name' = 'shop', 'schema-name' = 'public', 'table-name' = 'items',
  'slot.name' = 'items', 'scan.snapshot.fetch.size' = '20', 'heartbeat.interval.ms' = '500 ms');
CREATE TABLE notes (shelf STRING, id INT, version BIGINT NOT NULL, body STRING, PRIMARY KEY (shelf, id) NOT ENFORCED)
WITH ('connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '${PORT}', 'username' = '${WHO}',
  'password' = '${PASSWORD}', 'database-name' = 'shop', 'schema-name' = 'public', 'table-name' = 'notes',
  'slot.name' = 'notes', 'changelog-mode' = 'upsert', 'scan.snapshot.fetch.size' = '10');
CREATE TABLE copied_items (id INT, grp INT, n BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'copied_items', 'username' = '${WHO}', 'password' = '${PASSWORD}');
CREATE TABLE totals (grp INT, `rows` BIGINT, `sum` BIGINT, PRIMARY KEY (grp) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'totals', 'username' = '${WHO}', 'password' = '${PASSWORD}');
CREATE TABLE copied_notes (shelf STRING, id INT, version BIGINT, body STRING, PRIMARY KEY (shelf, id) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'copied_notes', 'username' = '${WHO}', 'password' = '${PASSWORD}');
CREATE TABLE latest (shelf STRING, id INT, version BIGINT, PRIMARY KEY (shelf, id) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'latest', 'key.format' = 'json', 'value.format' = 'json');
EXECUTE STATEMENT SET BEGIN
INSERT INTO copied_items SELECT * FROM items;
INSERT INTO totals SELECT grp, COUNT(*), SUM(n) FROM items GROUP BY grp;
END;
EXECUTE STATEMENT SET BEGIN
INSERT INTO copied_notes SELECT * FROM notes;
INSERT INTO latest SELECT shelf, id, version FROM notes;
END;
