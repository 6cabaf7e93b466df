SET 'pipeline.name' = 'rows';
CREATE TABLE orders (customer STRING, item STRING, amount BIGINT) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE dearest (customer STRING, place BIGINT, item STRING, amount BIGINT, PRIMARY KEY (customer, place) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'dearest', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE least (place BIGINT, customer STRING, amount BIGINT, PRIMARY KEY (place) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'least', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE sums (customer STRING, amount BIGINT, total BIGINT, PRIMARY KEY (customer) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 'sums', 'key.format' = 'json', 'value.format' = 'json');
EXECUTE STATEMENT SET BEGIN
INSERT INTO dearest SELECT customer, place, item, amount FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount DESC) AS place FROM orders) WHERE place <= 2;
INSERT INTO least SELECT place, customer, amount FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY amount) AS place FROM (SELECT customer, SUM(amount) AS amount FROM orders GROUP BY customer)) WHERE place <= 2;
INSERT INTO sums SELECT customer, amount, SUM(amount) OVER (ORDER BY amount) FROM (SELECT customer, SUM(amount) AS amount FROM orders GROUP BY customer);
END;
