#!/usr/bin/env python3
"""The suite of the WebSocket client `websockets`: `HTTP=HOST:PORT websocket.py HOST:PORT`."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import websockets

from suite import LIMIT_SECONDS, Suite, expect, unique

HTTP = os.environ["HTTP"]
GUIDE = Path(__file__).parents[2] / "docs/guide/http-events.md"


def publish(topic, value, key=""):
    request = urllib.request.Request(f"http://{HTTP}/topics/{topic}?key={key}", json.dumps(value, ensure_ascii=False).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:
        return json.load(answer)


def run(talk):
    asyncio.run(asyncio.wait_for(talk(), LIMIT_SECONDS))


async def message(socket):
    return json.loads(await socket.recv())


def records_are_followed_and_gone_on_with():
    topic = unique("followed")
    for number in range(5):
        publish(topic, {"n": number})

    async def talk():
        async with websockets.connect(f"ws://{HTTP}/topics/{topic}?from=earliest") as socket:
            begin = await message(socket)
            expect(list(begin), ["next"], "the first message")
            seen = [await message(socket) for _ in range(5)]
            expect(sorted(record["value"]["n"] for record in seen), [0, 1, 2, 3, 4], "the records")
            publish(topic, {"n": 5})
            live = await message(socket)
            expect(live["value"], {"n": 5}, "a record that comes")
        async with websockets.connect(f"ws://{HTTP}/topics/{topic}?from={seen[2]['next']}") as socket:
            expect((await message(socket))["next"], seen[2]["next"], "where it goes on")
            rest = [await message(socket) for _ in range(3)]
            expect(sorted(record["value"]["n"] for record in rest), sorted([seen[3]["value"]["n"], seen[4]["value"]["n"], 5]), "the rest")

    run(talk)


def a_protocol_is_agreed_on_and_pings_are_answered():
    topic = unique("pinged")
    publish(topic, 1)

    async def talk():
        async with websockets.connect(f"ws://{HTTP}/topics/{topic}", subprotocols=["eventwright.json"]) as socket:
            expect(socket.subprotocol, "eventwright.json", "the protocol")
            await (await socket.ping())
            await socket.close()
            expect(socket.close_code, 1000, "the code")

    run(talk)


def what_is_sent_ends_it():
    topic = unique("closed")
    publish(topic, 1)

    async def talk():
        for words, code in [("hello", 1008), ("x" * 100_000, 1009)]:
            async with websockets.connect(f"ws://{HTTP}/topics/{topic}") as socket:
                await message(socket)
                await socket.send(words)
                try:
                    await socket.recv()
                except websockets.ConnectionClosed as closed:
                    expect(closed.code, code, f"the code behind {len(words)} characters")
                else:
                    raise AssertionError("it goes on")

    run(talk)


def what_is_not_there_is_refused():
    async def talk():
        try:
            await websockets.connect(f"ws://{HTTP}/topics/{unique('none')}")
        except websockets.InvalidStatusCode as refused:
            expect(refused.status_code, 404, "the status")
        else:
            raise AssertionError("it is let in")

    run(talk)


def large_records_come_whole():
    topic = unique("large")
    text = "ä" * 400_000
    publish(topic, {"text": text})

    async def talk():
        async with websockets.connect(f"ws://{HTTP}/topics/{topic}?from=earliest", max_size=2**23) as socket:
            await message(socket)
            expect((await message(socket))["value"]["text"] == text, True, "the text is the same")

    run(talk)


def the_guides_program_follows():
    """What the page shows is run, with its topic and address replaced."""
    topic = unique("guide")
    publish(topic, {"price": 3}, key="anna")
    program = GUIDE.read_text().split("```python\n")[1].split("```")[0]
    program = program.replace("127.0.0.1:18081", HTTP).replace("/topics/sales", f"/topics/{topic}")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        try:
            expect(running.stdout.readline().strip(), "anna {'price': 3}", "the first record")
            publish(topic, {"price": 4}, key="bert")
            expect(running.stdout.readline().strip(), "bert {'price': 4}", "the next record")
        finally:
            running.kill()


suite = Suite("python-websockets")
suite.check("records are followed, and gone on with", records_are_followed_and_gone_on_with)
suite.check("a protocol is agreed on, and pings are answered", a_protocol_is_agreed_on_and_pings_are_answered)
suite.check("what is sent ends it", what_is_sent_ends_it)
suite.check("what is not there is refused", what_is_not_there_is_refused)
suite.check("large records come whole", large_records_come_whole)
suite.check("the guide's program follows", the_guides_program_follows)
suite.finish()
