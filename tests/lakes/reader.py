"""Reads tables of lakes by the libraries of others, and makes them.

    python reader.py PORT

POST / with a JSON object: what is to be done (`do`), to which `kind` of table, where (`place`), and the `options` of the library.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.schema import Schema
from pyiceberg.table import StaticTable
from pyiceberg.types import LongType, NestedField, StringType


def rest(asked):
    return RestCatalog("suite", **asked["options"])


def table(asked):
    """The rows; none where there is no table yet. From `least` on in the column `n`, where that is said."""
    kind, place, options, least = asked["kind"], asked["place"], asked["options"], asked.get("least")
    try:
        if kind == "delta":
            found = DeltaTable(place, storage_options=options)
        else:
            found = StaticTable.from_metadata(place, options) if kind == "iceberg" else rest(asked).load_table(place)
    except (TableNotFoundError, NoSuchTableError, FileNotFoundError):
        return None
    # What is missing from here on is missing from a table that is there.
    if kind == "delta":
        return found.to_pyarrow_table(filters=None if least is None else [("n", ">=", least)])
    return (found.scan() if least is None else found.scan(row_filter=f"n >= {least}")).to_arrow()


def read(asked):
    rows = table(asked)
    return [] if rows is None else rows.column("n").to_pylist()


def rows(asked):
    """All of the rows, as texts where JSON has no such type, with the names and types of the columns."""
    found = table(asked)
    columns = [[field.name, str(field.type)] for field in found.schema]
    return {"columns": columns, "rows": [json.loads(json.dumps(row, default=str)) for row in found.to_pylist()]}


def make(asked):
    """A table of a REST catalog, whose column `n` holds texts."""
    catalog = rest(asked)
    catalog.create_namespace_if_not_exists(asked["place"].split(".")[0])
    columns = [NestedField(1, "k", LongType()), NestedField(2, "n", StringType())]
    catalog.create_table(asked["place"], Schema(*columns))


def append(asked):
    """Adds numbers, as another writer."""
    numbers = asked["numbers"]
    more = pa.table({"k": pa.array([n % 10 for n in numbers], pa.int64()), "n": pa.array(numbers, pa.int64())})
    if asked["kind"] == "delta":
        write_deltalake(asked["place"], more, mode="append", storage_options=asked["options"])
    else:
        rest(asked).load_table(asked["place"]).append(more)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, answer = 200, json.dumps({"read": read, "rows": rows, "make": make, "append": append}[asked["do"]](asked))
        except Exception as error:
            status, answer = 500, f"{type(error).__name__}: {error}"
        body = answer.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
