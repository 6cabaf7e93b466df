-- The events that the queries are compared on: the same ones each time, ten windows of ten seconds, with little filler.

CREATE TABLE generated WITH (
  'connector'        = 'nexmark',
  'events.num'       = '10000',
  'first-event.rate' = '100',
  'next-event.rate'  = '100',
  'person.avg-size'  = '1 b',
  'auction.avg-size' = '1 b',
  'bid.avg-size'     = '40 b'
) LIKE events (EXCLUDING OPTIONS EXCLUDING GENERATED EXCLUDING WATERMARKS);

INSERT INTO events SELECT event_type, person, auction, bid FROM generated;
