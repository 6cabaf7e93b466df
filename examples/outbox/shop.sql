-- What the shop keeps, and beside it the events that others are to hear of, in the columns of Debezium's outbox.
CREATE TABLE orders (id bigint PRIMARY KEY, shop text NOT NULL, price numeric(8, 2) NOT NULL);
CREATE TABLE outbox (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  aggregatetype text NOT NULL, aggregateid text NOT NULL, type text NOT NULL, payload jsonb NOT NULL
);
-- The job asks for whole rows; an outbox has no updates, so this costs nothing but at its cleaning.
ALTER TABLE outbox REPLICA IDENTITY FULL;
