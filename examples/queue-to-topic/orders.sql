-- A queue of RabbitMQ as a topic: every message once, whole, under the key by which it stays in order.
CREATE TABLE queued (
  body BYTES,
  id STRING METADATA FROM 'message-id' VIRTUAL,
  sent_with STRING METADATA FROM 'routing-key' VIRTUAL,
  content_type STRING METADATA FROM 'content-type' VIRTUAL
) WITH (
  'connector' = 'rabbitmq', 'url' = '${URL}', 'queue' = 'orders-to-topic', 'format' = 'raw'
);

-- The body stays as it is: who reads the topic needs no other decoder than who read the queue.
CREATE TABLE topic (
  shop STRING, body BYTES, headers MAP<STRING, BYTES> METADATA
) WITH (
  'connector' = 'kafka', 'topic' = 'orders',
  'key.format' = 'raw', 'key.fields' = 'shop',
  'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY'
);

-- Messages of a shop stay in order, for the shop is the last word of their routing key: `orders.ulm`.
INSERT INTO topic
SELECT SPLIT_INDEX(sent_with, '.', 1), body,
  MAP['message-id', CAST(id AS BYTES), 'content-type', CAST(content_type AS BYTES)]
FROM queued;
