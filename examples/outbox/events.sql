-- The outbox of a service as a topic: an event is there if, and only if, its transaction was committed, and once.
CREATE TABLE outbox (
  id STRING, aggregatetype STRING, aggregateid STRING, type STRING, payload STRING,
  kind STRING METADATA FROM 'row_kind' VIRTUAL
) WITH (
  'connector' = 'postgres-cdc',
  'hostname' = '127.0.0.1', 'port' = '${PORT}', 'username' = '${WHO}', 'password' = '${PASSWORD}',
  'database-name' = 'shop', 'schema-name' = 'public', 'table-name' = 'outbox', 'slot.name' = 'outbox',
  -- An event that is cleaned away was sent all the same.
  'scan.read-changelog-as-append-only.enabled' = 'true'
);

-- As Debezium's outbox event router writes it: the aggregate's id is the key, so that its events stay in order, the payload
-- is the value, and the event's id and type are headers.
CREATE TABLE order_events (
  aggregateid STRING, payload STRING, headers MAP<STRING, BYTES> METADATA
) WITH (
  'connector' = 'kafka', 'topic' = 'outbox.event.order',
  'key.format' = 'raw', 'key.fields' = 'aggregateid',
  'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY'
);

INSERT INTO order_events
SELECT aggregateid, payload, MAP['id', CAST(id AS BYTES), 'eventType', CAST(type AS BYTES)]
FROM outbox WHERE kind = '+I' AND aggregatetype = 'order';
