"""A server of HTTP for the conformance suite: CPython's own http.server, what it has taken in files.

    server.py PORT FOLDER PASSWORD

`POST /rows/PLACE` takes a row of JSON or an array of them, once for each `Idempotency-Key`, and refuses the number that the
suite has named. What is answered is in the file, so that the server may be killed at any moment. `GET /feed/PLACE?after=N`
answers records behind the Nth that the suite has put, and where to go on. Who comes logs in by the password, whatever the
name. `POST /suite/…` is the suite's own way in.
"""

import base64
import hmac
import http.server
import json
import os
import sys
import threading
from urllib.parse import parse_qsl, urlsplit

PAGE = 500
PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
STATE = os.path.join(FOLDER, "state.json")


class Place:
    """What one trial has sent: lines of a key and the numbers under it."""

    def __init__(self, name):
        self.lock = threading.Lock()
        self.path = os.path.join(FOLDER, f"{name}.rows")
        self.keys, self.numbers = set(), []
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as lines:
                for line in lines.read().split("\n")[:-1]:
                    key, numbers = line.split("\t")
                    self.keys.add(key)
                    self.numbers.extend(json.loads(numbers))
        self.feed = []
        self.feed_path = os.path.join(FOLDER, f"{name}.feed")
        if os.path.exists(self.feed_path):
            with open(self.feed_path, encoding="utf-8") as lines:
                self.feed = lines.read().split("\n")[:-1]
        self.feed_file = os.open(self.feed_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def take(self, key, numbers):
        """Answers whether they are new."""
        with self.lock:
            if key in self.keys:
                return False
            # One write: a server that is killed has taken all of them or none.
            os.write(self.file, f"{key}\t{json.dumps(numbers)}\n".encode())
            self.keys.add(key)
            self.numbers.extend(numbers)
            return True


    def put(self, records):
        """Records as they are to be answered."""
        with self.lock:
            os.write(self.feed_file, "".join(record + "\n" for record in records).encode())
            self.feed.extend(records)

    def page(self, after):
        with self.lock:
            records = self.feed[after:after + PAGE]
        return f'{{"rows": [{", ".join(records)}], "next": {after + len(records)}}}'


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.places = {}
        self.state = {"password": sys.argv[3], "refused": {}}
        if os.path.exists(STATE):
            with open(STATE, encoding="utf-8") as state:
                self.state = json.load(state)

    def place(self, name):
        if not name.replace("_", "").isalnum():
            return None
        with self.lock:
            if name not in self.places:
                if not os.path.exists(os.path.join(FOLDER, f"{name}.rows")):
                    return None
                self.places[name] = Place(name)
            return self.places[name]

    def make(self, name):
        with self.lock:
            self.places.pop(name, None)
            for kind in ("rows", "feed"):
                with open(os.path.join(FOLDER, f"{name}.{kind}"), "w", encoding="utf-8"):
                    pass

    def set(self, change):
        with self.lock:
            change(self.state)
            with open(STATE + ".new", "w", encoding="utf-8") as state:
                json.dump(self.state, state)
            os.replace(STATE + ".new", STATE)


STORE = Store()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers go at once.
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def answer(self, status, body="", headers=()):
        body = body.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def may_in(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        try:
            password = base64.b64decode(value).decode().partition(":")[2] if kind == "Basic" else value
        except ValueError:
            password = ""
        return hmac.compare_digest(password.encode(), STORE.state["password"].encode())

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if parts[0] == "suite":
            return self.suite(parts[1], dict(parse_qsl(url.query)), body)
        if not self.may_in():
            return self.answer(401, "who are you?", [("WWW-Authenticate", "Basic realm=\"rows\"")])
        place = STORE.place(parts[1]) if parts[0] == "rows" and len(parts) == 2 else None
        if place is None:
            return self.answer(404, "there is no such place")
        key = self.headers.get("Idempotency-Key")
        if not key:
            return self.answer(400, "no Idempotency-Key")
        try:
            rows = json.loads(body)
            numbers = [row["n"] for row in (rows if isinstance(rows, list) else [rows])]
        except (ValueError, KeyError, TypeError) as error:
            return self.answer(400, f"no rows: {error}")
        if STORE.state["refused"].get(parts[1]) in numbers:
            return self.answer(422, "this number is refused")
        self.answer(201 if place.take(key, numbers) else 200)

    def do_GET(self):
        if not self.may_in():
            return self.answer(401, "who are you?", [("WWW-Authenticate", "Basic realm=\"rows\"")])
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        place = STORE.place(parts[1]) if parts[0] == "feed" and len(parts) == 2 else None
        if place is None:
            return self.answer(404, "there is no such place")
        after = int(dict(parse_qsl(url.query)).get("after", 0))
        self.answer(200, place.page(after), [("Content-Type", "application/json")])

    def suite(self, what, query, body):
        name = query.get("name", "")
        if what == "make":
            STORE.make(name)
        elif what == "refuse":
            STORE.set(lambda state: state["refused"].update({name: int(query["n"])}))
        elif what == "password":
            STORE.set(lambda state: state.update(password=body.decode()))
        elif what == "put":
            STORE.place(name).put(body.decode().split("\n"))
        elif what == "read":
            place = STORE.place(name)
            with place.lock:
                return self.answer(200, "\n".join(map(str, place.numbers)))
        else:
            return self.answer(404, f"no {what}")
        self.answer(200)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


server = Server(("127.0.0.1", PORT), Handler)
print("ready", flush=True)
server.serve_forever()
