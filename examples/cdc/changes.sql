-- A day in the shop.
UPDATE orders SET status = 'paid' WHERE id = 1;
INSERT INTO orders VALUES (4, 'Kiel', 16.50, 'new');
DELETE FROM orders WHERE id = 2;
