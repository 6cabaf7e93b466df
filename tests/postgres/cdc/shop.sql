-- Tables that a job reads, where it copies them to, and what changes them.

-- The whole row as it was is known.
CREATE TABLE items (id int PRIMARY KEY, grp int NOT NULL, n bigint NOT NULL, name text);
ALTER TABLE items REPLICA IDENTITY FULL;
-- Only the key is known; long bodies lie outside their rows.
CREATE TABLE notes (shelf text, id int, version bigint NOT NULL, body text, PRIMARY KEY (shelf, id));
ALTER TABLE notes ALTER body SET STORAGE EXTERNAL;

CREATE TABLE copied_items (LIKE items INCLUDING INDEXES);
CREATE TABLE totals (grp int PRIMARY KEY, rows bigint, sum bigint);
CREATE TABLE copied_notes (LIKE notes INCLUDING INDEXES);
CREATE TABLE others (id int);

CREATE SEQUENCE new_ids START 1000000;
CREATE FUNCTION body(seed int) RETURNS text LANGUAGE sql AS
$$ SELECT repeat(md5(seed::text), CASE WHEN seed % 4 = 0 THEN 150 ELSE 1 END) $$;
INSERT INTO items SELECT i, i % 10, i, 'item ' || i FROM generate_series(1, 20000) i;
INSERT INTO notes SELECT 'Shelf ' || chr(65 + i % 26) || chr(97 + i % 7), i, 0, body(i) FROM generate_series(1, 4000) i;

-- Transactions, one after the other; some change much, some are taken back.
CREATE PROCEDURE work(rounds int) LANGUAGE plpgsql AS $$
DECLARE
  picked int;
BEGIN
  FOR round IN 1..rounds LOOP
    picked := 1 + floor(random() * 20000);
    UPDATE items SET n = n + 1, grp = (grp + 1) % 10 WHERE id BETWEEN picked AND picked + 3;
    DELETE FROM items WHERE id = picked + 5;
    INSERT INTO items VALUES (nextval('new_ids'), round % 10, round, NULL);
    IF round % 7 = 0 THEN
      -- Another key is another row.
      UPDATE items SET id = nextval('new_ids') WHERE id = picked + 7;
      INSERT INTO items SELECT picked + 5, 3, round, 'again' ON CONFLICT DO NOTHING;
    END IF;
    picked := 1 + picked % 4000;
    -- The body does not change, and is not sent where it lies outside.
    UPDATE notes SET version = version + 1 WHERE id = picked;
    UPDATE notes SET version = version + 1, body = body(round) WHERE id = picked + 1;
    IF round % 9 = 0 THEN
      UPDATE notes SET shelf = 'Moved ' || round % 3, version = version + 1 WHERE id = picked + 2;
      DELETE FROM notes WHERE id = picked + 3;
      INSERT INTO notes SELECT 'New', nextval('new_ids'), 0, body(round);
    END IF;
    IF round % 100 = 0 THEN
      UPDATE items SET n = n + 1 WHERE id % 8 = round / 100 % 8;
    END IF;
    IF round % 13 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
    PERFORM pg_sleep(0.004);
  END LOOP;
END $$;
