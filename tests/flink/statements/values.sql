-- Queries without a table.
SELECT 1;
SELECT 1 AS a, 'x' AS b, CAST(NULL AS INT) AS c;
VALUES (1, 'a'), (2, 'b');
VALUES (1), (2.5);
VALUES ('a'), ('bcd');
SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, CAST(NULL AS STRING))) AS t (id, name);
SELECT name, COUNT(*) FROM (VALUES (1, 'a'), (2, 'b'), (3, 'a')) AS t (id, name) GROUP BY name;
SELECT a.id, b.name FROM (VALUES (1), (2), (4)) AS a (id) JOIN (VALUES (1, 'x'), (4, 'y')) AS b (id, name) ON a.id = b.id;
SELECT SUM(x), AVG(x), MIN(x), MAX(x) FROM (VALUES (1), (2), (3)) AS t (x);
SELECT name, price FROM products WHERE id IN (VALUES (1), (4));
SELECT 1 UNION ALL SELECT 2;
SELECT p.name, v.bonus FROM people AS p LEFT JOIN (VALUES ('ann', 5), ('zoe', 7)) AS v (name, bonus) ON p.name = v.name;
SELECT id, item FROM auctions, UNNEST(ARRAY[1, 2]) AS u (x) WHERE id = x;
SELECT id, x FROM auctions CROSS JOIN UNNEST(ARRAY['a', 'b']) AS u (x) WHERE id < 3;
SELECT x FROM UNNEST(ARRAY[3, 1, CAST(NULL AS INT)]) AS u (x);
SELECT k, v FROM UNNEST(MAP['a', 1, 'b', 2]) AS u (k, v);
SELECT x, n FROM UNNEST(ARRAY['a', 'b']) WITH ORDINALITY AS u (x, n);
