"""The suites of psycopg 3 and of SQLAlchemy: `psycopg_suite.py HOST:PORT`. The topic `flights` has three records."""

import datetime
import sys
import threading
import time
import traceback

import psycopg
import sqlalchemy
from sqlalchemy import text

HOST, PORT = sys.argv[1].rsplit(":", 1)
URL = f"host={HOST} port={PORT} user=ada dbname=shop connect_timeout=20"


def expect(actual, wanted):
    if actual != wanted:
        raise AssertionError(f"got {actual!r}, wanted {wanted!r}")


def parameters():
    with psycopg.connect(URL) as connection:
        one = connection.execute("SELECT count(*) FROM flights WHERE key = %s", ("c",)).fetchone()
        expect(one, (1,))
        many = "SELECT \"offset\" FROM flights WHERE partition = %s AND timestamp >= %s ORDER BY 1"
        since = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
        expect(connection.execute(many, (0, since)).fetchall(), [(0,), (1,), (2,)])
        listed = connection.execute("SELECT count(*) FROM flights WHERE key = ANY(%s)", (["a", "c"],)).fetchone()
        expect(listed, (2,))


def types():
    with psycopg.connect(URL) as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            row = cursor.execute(
                "SELECT 1::int2, 2::int4, 3::int8, 1.5::float8, 2.50::numeric(10,2), 'x'::text, true, DATE '2013-01-31', "
                "TIMESTAMP '2013-01-31 12:34:56.789', NULL::int, value_bytes FROM flights WHERE key = 'a'"
            ).fetchone()
            expect(row[:4], (1, 2, 3, 1.5))
            expect([str(row[4]), row[5], row[6]], ["2.50", "x", True])
            expect(row[7], datetime.date(2013, 1, 31))
            expect(row[8], datetime.datetime(2013, 1, 31, 12, 34, 56, 789000))
            expect(row[9], None)
            expect(bytes(row[10])[:1], b"{")


def prepared():
    with psycopg.connect(URL, prepare_threshold=0) as connection:
        for key, count in [("a", 1), ("nothing", 0), ("b", 1)]:
            expect(connection.execute("SELECT count(*) FROM flights WHERE key = %s", (key,)).fetchone(), (count,))


def pipeline():
    with psycopg.connect(URL) as connection, connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(20)]
        expect([cursor.fetchone()[0] for cursor in cursors], list(range(20)))


def server_side_cursor():
    with psycopg.connect(URL) as connection, connection.cursor(name="rows") as cursor:
        cursor.itersize = 2
        cursor.execute("SELECT \"offset\" FROM flights ORDER BY 1")
        expect([row[0] for row in cursor], [0, 1, 2])


def copy():
    with psycopg.connect(URL) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT key, partition FROM flights ORDER BY key) TO STDOUT") as rows:
            expect(list(rows.rows()), [("a", "0"), ("b", "0"), ("c", "0")])


def errors():
    with psycopg.connect(URL, autocommit=True) as connection:
        for statement, error in [
            ("SELECT * FROM nothing", psycopg.errors.UndefinedTable),
            ("SELECT nothing FROM flights", psycopg.errors.UndefinedColumn),
            ("DELETE FROM flights", psycopg.errors.ReadOnlySqlTransaction),
        ]:
            try:
                connection.execute(statement)
                raise AssertionError(f"{statement} was not refused")
            except error:
                pass
        expect(connection.execute("SELECT 1").fetchone(), (1,))


def cancel():
    with psycopg.connect(URL, autocommit=True) as connection:
        done = threading.Event()

        def ask():
            # A cancel before the query has begun is about nothing.
            while not done.wait(0.05):
                connection.cancel()

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            connection.execute("SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b")
            raise AssertionError("it was not cancelled")
        except psycopg.errors.QueryCanceled:
            pass
        finally:
            done.set()
            asking.join()


def sqlalchemy_reflection():
    engine = sqlalchemy.create_engine(f"postgresql+psycopg://ada@{HOST}:{PORT}/shop")
    inspector = sqlalchemy.inspect(engine)
    expect("topics" in inspector.get_schema_names(), True)
    expect("flights" in inspector.get_table_names(schema="topics"), True)
    columns = {column["name"]: column for column in inspector.get_columns("flights", schema="topics")}
    expect(list(columns)[:3], ["partition", "offset", "timestamp"])
    expect(str(columns["timestamp"]["type"]), "TIMESTAMP")
    key = inspector.get_pk_constraint("flights", schema="topics")
    expect(key["constrained_columns"], ["partition", "offset"])
    expect(inspector.get_foreign_keys("flights", schema="topics"), [])
    metadata = sqlalchemy.MetaData()
    flights = sqlalchemy.Table("flights", metadata, schema="topics", autoload_with=engine)
    with engine.connect() as connection:
        query = sqlalchemy.select(flights.c.key).where(flights.c.partition == 0).order_by(flights.c.offset).limit(2)
        expect([row[0] for row in connection.execute(query)], ["a", "b"])
        expect(connection.execute(text("SELECT count(*) FROM flights WHERE key = :key"), {"key": "c"}).scalar(), 1)
    engine.dispose()


CHECKS = [parameters, types, prepared, pipeline, server_side_cursor, copy, errors, cancel, sqlalchemy_reflection]

passed = failed = 0
for check in CHECKS:
    begun = time.monotonic()
    try:
        check()
        passed += 1
        print(f"ok {check.__name__} ({time.monotonic() - begun:.1f} s)")
    except Exception:
        failed += 1
        print(f"FAILED {check.__name__}")
        traceback.print_exc(file=sys.stdout)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
