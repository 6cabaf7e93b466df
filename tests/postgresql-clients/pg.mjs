// The suite of `pg`, the driver of Node: `pg.mjs HOST:PORT`. The topic `flights` has three records.

import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NODE_CLIENTS}/`);
const { Client, Pool } = require('pg');

const [host, port] = process.argv[2].split(':');
const options = { host, port: Number(port), user: 'ada', database: 'shop' };

function expect(actual, wanted) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`got ${a}, wanted ${b}`);
}

const checks = {
  async parameters() {
    const client = new Client(options);
    await client.connect();
    const { rows } = await client.query('SELECT key, partition FROM flights WHERE key = $1', ['c']);
    expect(rows, [{ key: 'c', partition: 0 }]);
    const named = { name: 'by-key', text: 'SELECT count(*) AS n FROM flights WHERE key = $1' };
    for (const [key, n] of [['a', '1'], ['x', '0']]) {
      expect((await client.query({ ...named, values: [key] })).rows, [{ n }]);
    }
    await client.end();
  },
  async types() {
    const client = new Client(options);
    await client.connect();
    const { rows } = await client.query("SELECT timestamp, value_bytes, NULL AS n, ARRAY['a', 'b'] AS l FROM flights LIMIT 1");
    expect(rows[0].timestamp instanceof Date, true);
    expect(Buffer.isBuffer(rows[0].value_bytes), true);
    expect([rows[0].n, rows[0].l], [null, ['a', 'b']]);
    await client.end();
  },
  async errors() {
    const client = new Client(options);
    await client.connect();
    const error = await client.query('SELECT * FROM flihgts').then(() => null, (error) => error);
    expect([error.code, error.hint], ['42P01', 'did you mean "flights"?']);
    expect((await client.query('SELECT 1::int AS one')).rows, [{ one: 1 }]);
    await client.end();
  },
  async pool() {
    const pool = new Pool({ ...options, max: 5 });
    const all = await Promise.all([...Array(50).keys()].map((n) => pool.query('SELECT $1::int AS n', [n])));
    expect(all.map(({ rows }) => rows[0].n), [...Array(50).keys()]);
    await pool.end();
  },
};

let [passed, failed] = [0, 0];
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}\n${error.stack}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
