-- A day in the shop: each change and its event are one transaction.
BEGIN;
INSERT INTO orders VALUES (1, 'Ulm', 12.50);
INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('order', '1', 'OrderPlaced', '{"id": 1, "shop": "Ulm", "price": 12.5}');
COMMIT;
BEGIN;
INSERT INTO orders VALUES (2, 'Kiel', 8.00);
INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('order', '2', 'OrderPlaced', '{"id": 2, "shop": "Kiel", "price": 8}');
COMMIT;
-- This order comes to nothing, and so does its event.
BEGIN;
INSERT INTO orders VALUES (3, 'Ulm', 99.00);
INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('order', '3', 'OrderPlaced', '{"id": 3, "shop": "Ulm", "price": 99}');
ROLLBACK;
-- An event need not stay in the table for a moment: it is read from the server's log.
BEGIN;
UPDATE orders SET price = 10.00 WHERE id = 1;
INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('order', '1', 'PriceChanged', '{"id": 1, "price": 10}');
DELETE FROM outbox;
COMMIT;
