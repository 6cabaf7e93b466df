-- What `${writer}` writes.

INSERT INTO ${writer}_avro SELECT * FROM sample;
INSERT INTO ${writer}_keyed SELECT id, s FROM sample;
INSERT INTO ${writer}_changes SELECT s, COUNT(*) FROM sample GROUP BY s;
INSERT INTO ${writer}_protobuf SELECT id, yes, i, f, d, s, bin, names, counts, `inner` FROM sample;
INSERT INTO ${writer}_parquet SELECT * FROM sample;
INSERT INTO ${writer}_files SELECT * FROM sample;
