-- What the job writes to in PostgreSQL. The primary key is what its rows are replaced by.
CREATE TABLE turnover (shop text, day date, orders bigint, turnover numeric(10, 2), PRIMARY KEY (shop, day));
