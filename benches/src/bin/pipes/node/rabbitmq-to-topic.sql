-- A queue as a topic.
CREATE TABLE queued (body BYTES)
WITH ('connector' = 'rabbitmq', 'url' = '${AMQP}', 'queue' = '${QUEUE}', 'format' = 'raw', 'prefetch-count' = '5000');
CREATE TABLE copied (body BYTES) WITH ('connector' = 'kafka', 'topic' = 'copied', 'format' = 'raw');
INSERT INTO copied SELECT body FROM queued;
