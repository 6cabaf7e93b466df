-- What is read of what `${writer}` has written; a line says which table it is of.

CREATE TABLE ${writer}_avro_shown WITH ('connector' = 'print', 'print-identifier' = '${writer}-avro') LIKE ${writer}_avro (EXCLUDING ALL);
CREATE TABLE ${writer}_keyed_shown WITH ('connector' = 'print', 'print-identifier' = '${writer}-keyed') LIKE ${writer}_keyed (EXCLUDING ALL);
CREATE TABLE ${writer}_changes_shown WITH ('connector' = 'print', 'print-identifier' = '${writer}-changes') LIKE ${writer}_changes (EXCLUDING ALL);
CREATE TABLE ${writer}_protobuf_shown WITH ('connector' = 'print', 'print-identifier' = '${writer}-protobuf') LIKE ${writer}_protobuf (EXCLUDING ALL);
CREATE TABLE ${writer}_files_shown WITH ('connector' = 'print', 'print-identifier' = '${writer}-files') LIKE ${writer}_files (EXCLUDING ALL);
CREATE TABLE ${writer}_parquet_shown WITH ('connector' = 'print', 'print-identifier' = '${writer}-parquet') LIKE ${writer}_parquet (EXCLUDING ALL);

INSERT INTO ${writer}_avro_shown SELECT * FROM ${writer}_avro;
INSERT INTO ${writer}_keyed_shown SELECT * FROM ${writer}_keyed;
INSERT INTO ${writer}_changes_shown SELECT * FROM ${writer}_changes;
INSERT INTO ${writer}_protobuf_shown SELECT * FROM ${writer}_protobuf;
INSERT INTO ${writer}_parquet_shown SELECT * FROM ${writer}_parquet;
INSERT INTO ${writer}_files_shown SELECT * FROM ${writer}_files;
