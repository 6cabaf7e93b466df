-- The shop's own tables, as they are. To be read with their changes, they tell the rows as they were.
CREATE TABLE orders (id bigint PRIMARY KEY, shop text NOT NULL, price numeric(8, 2) NOT NULL, status text NOT NULL);
ALTER TABLE orders REPLICA IDENTITY FULL;
INSERT INTO orders VALUES (1, 'Ulm', 12.50, 'new'), (2, 'Kiel', 8.00, 'new'), (3, 'Ulm', 17.50, 'new');
