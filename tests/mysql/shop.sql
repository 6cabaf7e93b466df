-- Rows that change all the time, and the tables that they are copied to.
CREATE TABLE items (id INT PRIMARY KEY, grp INT NOT NULL, n BIGINT NOT NULL, name VARCHAR(60));
CREATE TABLE copied_items (id INT PRIMARY KEY, grp INT, n BIGINT, name VARCHAR(60));
CREATE TABLE totals (grp INT PRIMARY KEY, `rows` BIGINT, `sum` BIGINT);
CREATE TABLE others (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60));
INSERT INTO items SELECT seq, seq % 7, seq, CONCAT('item ', seq) FROM seq_1_to_2000;
DELIMITER //
CREATE PROCEDURE work(rounds INT)
BEGIN
  DECLARE base INT;
  WHILE rounds > 0 DO
    SET base = FLOOR(RAND() * 3000), rounds = rounds - 1;
    START TRANSACTION;
    REPLACE INTO items SELECT seq + base, FLOOR(RAND() * 7), FLOOR(RAND() * 1000), CONCAT('new ', seq) FROM seq_1_to_5;
    UPDATE items SET n = n + 1, grp = (grp + 1) % 7 WHERE id BETWEEN base + 100 AND base + 110;
    DELETE FROM items WHERE id BETWEEN base + 200 AND base + 203;
    INSERT INTO others (name) VALUES ('x');
    IF RAND() < 0.1 THEN ROLLBACK; ELSE COMMIT; END IF;
  END WHILE;
END //
DELIMITER ;
