-- Orders of a topic in files of Parquet.
CREATE TABLE orders (id BIGINT, shop STRING, price DOUBLE, ordered STRING)
WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = '${KAFKA}', 'topic' = '${TOPIC}', 'format' = 'json',
      'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');
CREATE TABLE files (id BIGINT, shop STRING, price DOUBLE, ordered STRING)
WITH ('connector' = 'filesystem', 'path' = '${FOLDER}', 'format' = 'parquet');
INSERT INTO files SELECT * FROM orders;
