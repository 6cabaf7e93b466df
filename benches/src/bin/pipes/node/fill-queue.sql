-- The same orders in a queue of RabbitMQ.
CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '${ROWS}', 'rows-per-second' = '1000000000',
  'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '${LAST}');
CREATE TABLE orders (id BIGINT, shop STRING, price DOUBLE, ordered STRING)
WITH ('connector' = 'rabbitmq', 'url' = '${AMQP}', 'queue' = '${QUEUE}', 'queue-declare.enabled' = 'true',
      'queue-declare.type' = 'classic', 'format' = 'json');
INSERT INTO orders
SELECT id, 'shop ' || CAST(id % 100 AS STRING), CAST(id % 1000 AS DOUBLE) / 10, '2026-03-01 10:00:00' FROM numbers;
