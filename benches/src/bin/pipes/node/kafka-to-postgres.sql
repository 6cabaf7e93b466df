-- Orders of a topic, changed on their way, into a table.
CREATE TABLE orders (id BIGINT, shop STRING, price DOUBLE, ordered TIMESTAMP(3))
WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = '${KAFKA}', 'topic' = '${TOPIC}', 'format' = 'json',
      'scan.startup.mode' = 'earliest-offset');
CREATE TABLE target (id BIGINT, shop STRING, price DOUBLE, ordered TIMESTAMP(3))
WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://127.0.0.1:${PORT}/shop', 'table-name' = 'bench_orders',
      'username' = '${WHO}', 'password' = '${PASSWORD}',
      'sink.buffer-flush.max-rows' = '5000', 'sink.buffer-flush.interval' = '200 ms');
INSERT INTO target SELECT id, UPPER(shop), price * 2, ordered FROM orders WHERE price >= 1;
