-- The rows of a table and their changes as a topic.
CREATE TABLE orders (id BIGINT, shop STRING, price DOUBLE, ordered STRING)
WITH ('connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '${PORT}', 'username' = '${WHO}', 'password' = '${PASSWORD}',
      'database-name' = 'shop', 'schema-name' = 'public', 'table-name' = 'bench_orders', 'slot.name' = 'bench_node',
      'scan.snapshot.fetch.size' = '10000');
CREATE TABLE copied (id BIGINT, shop STRING, price DOUBLE, ordered STRING)
WITH ('connector' = 'kafka', 'topic' = 'copied', 'format' = 'debezium-json');
INSERT INTO copied SELECT * FROM orders;
