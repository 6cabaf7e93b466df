-- The orders of a shop's database with all their changes, in a topic as Debezium writes them, and what they come to.
CREATE TABLE orders (id BIGINT, shop STRING, price DECIMAL(8, 2), status STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH (
  'connector' = 'postgres-cdc',
  'hostname' = '127.0.0.1', 'port' = '${PORT}', 'username' = '${WHO}', 'password' = '${PASSWORD}',
  'database-name' = 'shop', 'schema-name' = 'public', 'table-name' = 'orders',
  'slot.name' = 'orders'
);

CREATE TABLE changes (id BIGINT, shop STRING, price DECIMAL(8, 2), status STRING)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'debezium-json');

CREATE TABLE totals (shop STRING, orders BIGINT, turnover DECIMAL(10, 2), PRIMARY KEY (shop) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json', 'value.format' = 'json');

-- One job, so that the slot is read once.
EXECUTE STATEMENT SET
BEGIN
  INSERT INTO changes SELECT * FROM orders;
  INSERT INTO totals SELECT shop, COUNT(*), CAST(SUM(price) AS DECIMAL(10, 2)) FROM orders GROUP BY shop;
END;
