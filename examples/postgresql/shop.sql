-- What the job writes to. The primary key is what its rows are replaced by.
CREATE TABLE orders (id bigint, shop text, price numeric(8, 2), ordered timestamp, tags text[], details jsonb);
CREATE TABLE totals (shop text PRIMARY KEY, orders bigint, turnover numeric(10, 2), latest timestamp);
