"""ClickHouse's engine, as the package chdb-core has it, behind the part of its HTTP interface that inserts and queries use.

server.py FOLDER PORT: tables lie in FOLDER/data. Users are the lines `user:password` of FOLDER/users, read for each request
anew; a request names one of them by HTTP's Basic. Settings in the address go with the query, as the server's interface has it,
and an exception comes with its number in a header.
"""

import base64
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb import session

FOLDER, PORT = sys.argv[1], int(sys.argv[2])
NO_SETTINGS = ("query", "database", "default_format", "wait_end_of_query")
AUTHENTICATION_FAILED = 516

lock = threading.Lock()
engine = session.Session(os.path.join(FOLDER, "data"))


def is_known(authorization):
    with open(os.path.join(FOLDER, "users"), encoding="utf-8") as file:
        users = file.read().splitlines()
    return any(authorization == "Basic " + base64.b64encode(user.encode()).decode() for user in users)


def with_settings(query, settings):
    if not settings:
        return query
    def quoted(text):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    clause = " SETTINGS " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings)
    head, mark, tail = query.rpartition(" FORMAT ")
    return head + clause + mark + tail if mark else query + clause


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not is_known(self.headers.get("Authorization")):
            words = f"Code: {AUTHENTICATION_FAILED}. DB::Exception: Authentication failed: password is incorrect"
            return self.answer(403, words.encode(), AUTHENTICATION_FAILED)
        parameters = parse_qsl(urlsplit(self.path).query, keep_blank_values=True)
        named = dict(parameters)
        settings = [(name, value) for name, value in parameters if name not in NO_SETTINGS]
        if "query" in named:
            statement = with_settings(named["query"], settings).encode() + b"\n" + body
        else:
            statement = with_settings(body.decode(), settings).encode()
        try:
            with lock:
                result = engine.query(statement.decode(), named.get("default_format", "TabSeparated"))
                answer = result.bytes()
        except Exception as error:
            words = str(error)
            code = re.search(r"Code: (\d+)", words)
            return self.answer(500, words.encode(), int(code.group(1)) if code else 0)
        return self.answer(200, answer or b"", None)

    def answer(self, status, body, code):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if code is not None:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
server.daemon_threads = True
print("ready", flush=True)
server.serve_forever()
