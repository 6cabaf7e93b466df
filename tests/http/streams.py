"""Servers of streams for the conformance suite: Server-Sent Events by sse-starlette and uvicorn, WebSocket by websockets.

    streams.py KIND PORT FOLDER PASSWORD

`GET /feed/PLACE` follows the records that the suite has put: as events whose ids are their numbers, behind `Last-Event-ID`; or
as messages that have their number as `seq`, behind `?after=N`. What was put lies in files, so that the server may be killed at any
moment. Who comes logs in by the password, whatever the name. `GET /suite/…` is the suite's own way in.
"""

import asyncio
import base64
import hmac
import json
import os
import sys
from urllib.parse import parse_qsl, urlsplit

KIND, PORT, FOLDER = sys.argv[1], int(sys.argv[2]), sys.argv[3]
STATE = os.path.join(FOLDER, "password")
KEYS = 10


class Place:
    """The records of one trial, and who waits for more of them."""

    def __init__(self, name):
        self.path = os.path.join(FOLDER, f"{name}.feed")
        with open(self.path, encoding="utf-8") as lines:
            self.records = lines.read().split("\n")[:-1]
        self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        self.waiting = set()

    def put(self, records):
        os.write(self.file, "".join(record + "\n" for record in records).encode())
        self.records.extend(records)
        for event in self.waiting:
            event.set()

    async def follow(self, after):
        """Numbers and records behind one, for ever."""
        event = asyncio.Event()
        self.waiting.add(event)
        try:
            while True:
                event.clear()
                while after < len(self.records):
                    after += 1
                    yield after, self.records[after - 1]
                await event.wait()
        finally:
            self.waiting.discard(event)


class Store:
    def __init__(self):
        self.places = {}
        self.password = sys.argv[4]
        if os.path.exists(STATE):
            with open(STATE, encoding="utf-8") as state:
                self.password = state.read()

    def place(self, path):
        parts = path.strip("/").split("/")
        name = parts[1] if len(parts) == 2 and parts[0] == "feed" else ""
        if name not in self.places:
            if not name.replace("_", "").isalnum() or not os.path.exists(os.path.join(FOLDER, f"{name}.feed")):
                return None
            self.places[name] = Place(name)
        return self.places[name]

    def may_in(self, authorization):
        kind, _, value = (authorization or "").partition(" ")
        try:
            password = base64.b64decode(value).decode().partition(":")[2] if kind == "Basic" else value
        except ValueError:
            password = ""
        return hmac.compare_digest(password.encode(), self.password.encode())

    def suite(self, target):
        """Does what the suite wants; a status and words."""
        url = urlsplit(target)
        what, query = url.path.strip("/").split("/")[1], dict(parse_qsl(url.query))
        if what == "make":
            self.places.pop(query["name"], None)
            with open(os.path.join(FOLDER, f"{query['name']}.feed"), "w", encoding="utf-8"):
                pass
            return 200, ""
        if what == "password":
            self.password = query["password"]
            with open(STATE + ".new", "w", encoding="utf-8") as state:
                state.write(self.password)
            os.replace(STATE + ".new", STATE)
            return 200, ""
        place = self.place(f"/feed/{query['name']}")
        if what == "put":
            numbers = range(int(query["from"]), int(query["to"]))
            place.put([f'{{"k":{n % KEYS},"n":{n}}}' for n in numbers])
            return 200, ""
        if what == "record":
            place.put([query["record"]])
            return 200, shown(len(place.records), query["record"])
        return 404, f"no {what}"


def shown(number, record):
    """A record as a client gets it."""
    return record if KIND == "sse" else f'{record[:-1]},"seq":{number}}}'


STORE = Store()


async def events():
    import uvicorn
    from sse_starlette import EventSourceResponse
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def suite(request):
        status, words = STORE.suite(str(request.url))
        return PlainTextResponse(words, status)

    async def feed(request):
        if not STORE.may_in(request.headers.get("authorization")):
            return PlainTextResponse("who are you?", 401)
        place = STORE.place(request.url.path)
        if place is None:
            return PlainTextResponse("there is no such place", 404)

        async def stream():
            async for number, record in place.follow(int(request.headers.get("last-event-id", 0))):
                yield {"id": str(number), "data": record, "retry": 100}

        return EventSourceResponse(stream(), ping=1)

    app = Starlette(routes=[Route("/suite/{what}", suite), Route("/feed/{name}", feed)])

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            print("ready", flush=True)

    await Server(uvicorn.Config(app, host="127.0.0.1", port=PORT, log_level="warning")).serve()


async def messages():
    from websockets.asyncio.server import serve
    from websockets.exceptions import ConnectionClosed

    def first(connection, request):
        if request.path.startswith("/suite/"):
            return connection.respond(*STORE.suite(request.path))
        if not STORE.may_in(request.headers.get("Authorization")):
            return connection.respond(401, "who are you?")
        if STORE.place(urlsplit(request.path).path) is None:
            return connection.respond(404, "there is no such place")
        return None

    async def feed(connection):
        url = urlsplit(connection.request.path)
        # What is wanted may stand in the query, or in the first message.
        after = dict(parse_qsl(url.query)).get("after")
        if after is None:
            after = json.loads(await connection.recv())["after"]
        follow = STORE.place(url.path).follow(int(after))
        try:
            async for number, record in follow:
                text = shown(number, record)
                await connection.send(text if number % 2 else text.encode())
        except ConnectionClosed:
            pass
        finally:
            await follow.aclose()

    async with serve(feed, "127.0.0.1", PORT, process_request=first, compression=None, ping_interval=5):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(events() if KIND == "sse" else messages())
