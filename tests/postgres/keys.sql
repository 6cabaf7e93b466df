-- Keys that are no values of their column's type: they find nothing, and the others do not suffer.
CREATE TABLE asked (id INT, mood STRING, proc AS PROCTIME()) WITH ('connector' = 'filesystem', 'path' = 'keys.json', 'format' = 'json');
CREATE TABLE shops (id BIGINT, `City` STRING, mood STRING)
WITH ('connector' = 'jdbc', 'url' = '${URL}', 'table-name' = 'Sales.shops', 'username' = '${WHO}', 'password' = '${PASSWORD}');
CREATE TABLE shown (id INT, `City` STRING, shop BIGINT) WITH ('connector' = 'print');
INSERT INTO shown SELECT a.id, `City`, s.id FROM asked AS a LEFT JOIN shops FOR SYSTEM_TIME AS OF a.proc AS s ON a.mood = s.mood;
