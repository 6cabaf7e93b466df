-- The outside table. It belongs to another program: sqlite3 shop.db < shop.sql
CREATE TABLE shops (id INTEGER PRIMARY KEY, city TEXT, rating TEXT, opened TEXT);
INSERT INTO shops VALUES
  (1, 'Ulm', '4.5', '2013-01-31 08:00:00.000'),
  (2, 'Kiel', '3.0', NULL),
  (4, 'Trier', '2.5', '2020-02-29 09:30:00.000');
