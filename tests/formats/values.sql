SET 'pipeline.name' = 'values';
CREATE TABLE orders (customer STRING, item STRING, amount BIGINT) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE counts (customer STRING, items BIGINT, dear BIGINT, cheap BIGINT, PRIMARY KEY (customer) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'counts', 'key.format' = 'json', 'value.format' = 'json');
INSERT INTO counts SELECT customer, COUNT(DISTINCT item), COUNT(DISTINCT item) FILTER (WHERE amount >= 5), COUNT(DISTINCT item) FILTER (WHERE amount < 5) FROM orders GROUP BY customer;
