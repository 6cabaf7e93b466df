-- Copies a table into another one and sums it up, over TLS, while its rows change.
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '100000';
SET 'restart-strategy.fixed-delay.delay' = '50 ms';
CREATE TABLE items (id INT, grp INT NOT NULL, n BIGINT NOT NULL, name STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'mysql-cdc', 'hostname' = '127.0.0.1', 'port' = '${PORT}', 'username' = '${WHO}',
  'password' = '${PASSWORD}', 'database-name' = 'shop', 'table-name' = 'items', 'sslmode' = 'verify-full',
  'sslrootcert' = '${CA}', 'scan.snapshot.fetch.size' = '20', 'heartbeat.interval' = '500 ms');
CREATE TABLE copied_items (id INT, grp INT, n BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = 'jdbc:mariadb://127.0.0.1:${PORT}/shop?sslMode=verify-full&serverSslCert=${CA}',
  'table-name' = 'copied_items', 'username' = '${WHO}', 'password' = '${PASSWORD}');
CREATE TABLE totals (grp INT, `rows` BIGINT, `sum` BIGINT, PRIMARY KEY (grp) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = 'jdbc:mysql://127.0.0.1:${PORT}/shop?sslMode=VERIFY_IDENTITY&serverSslCert=${CA}',
  'table-name' = 'totals', 'username' = '${WHO}', 'password' = '${PASSWORD}');
EXECUTE STATEMENT SET BEGIN
INSERT INTO copied_items SELECT * FROM items;
INSERT INTO totals SELECT grp, COUNT(*), SUM(n) FROM items GROUP BY grp;
END;
