-- A queue of orders: large ones go on to another queue, and a topic holds what each shop has sold.
CREATE TABLE incoming (id BIGINT, shop STRING, price DECIMAL(8, 2))
WITH ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');

CREATE TABLE orders (
  id BIGINT, shop STRING, price DECIMAL(8, 2),
  `message-id` STRING METADATA VIRTUAL, redelivered BOOLEAN METADATA VIRTUAL
) WITH (
  'connector' = 'rabbitmq', 'url' = '${URL}', 'queue' = 'orders', 'format' = 'json',
  -- What cannot be read does not hold up the others.
  'dead-letter.topic' = 'orders-rejected'
);

CREATE TABLE large_orders (id BIGINT, shop STRING, price DECIMAL(8, 2), shop_header MAP<STRING, BYTES> METADATA FROM 'headers')
WITH ('connector' = 'rabbitmq', 'url' = '${URL}', 'queue' = 'large-orders', 'format' = 'json',
      'json.encode.decimal-as-plain-number' = 'true');

CREATE TABLE totals (shop STRING, orders BIGINT, turnover DECIMAL(10, 2), PRIMARY KEY (shop) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json', 'value.format' = 'json',
      'value.json.encode.decimal-as-plain-number' = 'true');

SET 'table.dml-sync' = 'true';
-- Somebody has to put orders into the queue.
INSERT INTO orders SELECT * FROM incoming;
SET 'table.dml-sync' = 'false';

-- One job reads the queue: two would share its messages.
EXECUTE STATEMENT SET BEGIN
INSERT INTO large_orders
  SELECT id, shop, price, MAP['shop', CAST(shop AS BYTES)] FROM orders WHERE price >= 20;
INSERT INTO totals
  SELECT shop, COUNT(*), CAST(SUM(price) AS DECIMAL(10, 2)) FROM orders GROUP BY shop;
END;
