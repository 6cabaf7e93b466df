-- Makes the events that all queries read: the same ones each time.

CREATE TABLE generated WITH (
  'connector'  = 'nexmark',
  'events.num' = '${EVENTS}'
) LIKE events (EXCLUDING OPTIONS EXCLUDING GENERATED EXCLUDING WATERMARKS);

INSERT INTO events SELECT event_type, person, auction, bid FROM generated;
