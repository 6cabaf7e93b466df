"""What the tests of the NATS connector ask of a server, by a client that is none of ours: nats-py.

    client.py PORT USER PASSWORD COMMAND ...

    check                       whether the server lets in
    make NAME [RETENTION]       a stream of this name, with the subjects NAME and NAME.>, and a short duplicate window:
                                a sink that comes back later has to look what is there
    delete NAME
    put NAME COUNT              messages {"n": 0} … with ids and headers
    put-raw NAME HEX            one message, its bytes in hexadecimal digits
    put-json NAME FROM TO       messages {"k": …, "n": FROM} … as the conformance suite has them
    read NAME                   reads all messages: a line of JSON for each
    purge NAME SEQUENCE         deletes all before the sequence
    pending NAME DURABLE        how many messages a consumer has not acknowledged, and not delivered
"""

import asyncio
import json
import sys

import nats
from nats.js.api import RetentionPolicy, StreamConfig

PORT, USER, PASSWORD, COMMAND, *ARGUMENTS = sys.argv[1:]
AT_ONCE = 500
LIMIT_S = 30
WINDOW_S = 0.5


async def connect():
    return await nats.connect(
        f"nats://127.0.0.1:{PORT}", user=USER, password=PASSWORD, allow_reconnect=False, connect_timeout=LIMIT_S
    )


async def put(stream, messages):
    """In their order, and all are confirmed."""
    for first in range(0, len(messages), AT_ONCE):
        publishes = [
            stream.publish(subject, body, timeout=LIMIT_S, headers=headers)
            for subject, body, headers in messages[first : first + AT_ONCE]
        ]
        await asyncio.gather(*publishes)


async def read(stream, name):
    info = await stream.stream_info(name)
    if info.state.messages == 0:
        return
    subscription = await stream.subscribe(">", stream=name, ordered_consumer=True)
    while True:
        message = await subscription.next_msg(timeout=LIMIT_S)
        print(json.dumps({
            "subject": message.subject,
            "body": message.data.decode(),
            "sequence": message.metadata.sequence.stream,
            "headers": message.headers or {},
        }))
        if message.metadata.sequence.stream >= info.state.last_seq:
            break


def number(name, n):
    headers = {"Nats-Msg-Id": f"number-{n}", "text": f"number {n}"}
    return f"{name}.n{n}", json.dumps({"n": n}).encode(), headers


async def main():
    connection = await connect()
    stream = connection.jetstream(timeout=LIMIT_S)
    match COMMAND, ARGUMENTS:
        case "check", []:
            pass
        case "make", [name, *retention]:
            config = StreamConfig(name=name, subjects=[name, f"{name}.>"], duplicate_window=WINDOW_S)
            if retention:
                config.retention = RetentionPolicy(retention[0])
            await stream.add_stream(config)
        case "delete", [name]:
            await stream.delete_stream(name)
        case "put", [name, count]:
            await put(stream, [number(name, n) for n in range(int(count))])
        case "put-raw", [name, digits]:
            await put(stream, [(name, bytes.fromhex(digits), None)])
        case "put-json", [name, begin, end]:
            rows = [{"k": n % 10, "n": n} for n in range(int(begin), int(end))]
            await put(stream, [(name, json.dumps(row).encode(), None) for row in rows])
        case "read", [name]:
            await read(stream, name)
        case "purge", [name, sequence]:
            await stream.purge_stream(name, seq=int(sequence))
        case "pending", [name, durable]:
            info = await stream.consumer_info(name, durable)
            print(info.num_ack_pending + info.num_pending)
        case other:
            sys.exit(f"there is no command {other}")
    await connection.close()


asyncio.run(main())
