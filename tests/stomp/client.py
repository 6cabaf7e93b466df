"""What the tests of the STOMP connector ask of a server, by a client that is none of ours: stomp.py.

    client.py SERVER PORT USER PASSWORD COMMAND ...

SERVER is artemis, activemq or rabbitmq; a PLACE is queue:NAME or topic:NAME.

    check                       whether the server lets in
    put PLACE COUNT             messages {"n": 0} … with ids and headers
    put-raw PLACE HEX           one message without an id of its own, its bytes in hexadecimal digits
    put-json PLACE FROM TO      messages {"k": …, "n": FROM} …, with ids, as the conformance suite has them
    put-long PLACE BYTES        one message with a body of so many bytes
    put-texts PLACE             messages without a length, as a TextMessage is
    drain PLACE                 takes all messages: a line of JSON for each
    subscribe PLACE CLIENT NAME     makes a durable subscription
    read PLACE CLIENT NAME      takes what a durable subscription has
"""

import json
import queue
import sys

import stomp

LIMIT_S = 60
# So long nothing comes of what is read to its end.
QUIET_S = 0.5
AHEAD = "500"
# So many messages are on their way to the server.
AT_ONCE = 200
BYE = "bye"
SERVER, PORT, USER, PASSWORD, COMMAND, *ARGUMENTS = sys.argv[1:]


class Heard(stomp.ConnectionListener):
    """Hands over what the server says to who waits for it."""

    def __init__(self):
        self.messages = queue.Queue()
        self.receipts = queue.Queue()

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.receipts.put(frame)

    def on_disconnected(self):
        self.receipts.put(None)

    def wait_for(self, receipt):
        while (said := self.receipts.get(timeout=LIMIT_S)) != receipt:
            # The client calls itself disconnected before it hands over the last receipt.
            if not isinstance(said, str) and (said or receipt != BYE):
                sys.exit(f"the server does not confirm {receipt}: {said and (said.headers, said.body)}")


def connect(client=None):
    connection = stomp.StompConnection12(
        [("127.0.0.1", int(PORT))], vhost="/", auto_decode=False, auto_content_length=False, reconnect_attempts_max=1
    )
    heard = Heard()
    connection.set_listener("heard", heard)
    connection.connect(USER, PASSWORD, wait=True, headers={"client-id": client} if client else {})
    return connection, heard


def close(connection, heard):
    """What was sent before is done when this returns."""
    stomp.protocol.Protocol12.disconnect(connection, receipt=BYE)
    heard.wait_for(BYE)
    connection.transport.stop()


def destination(place):
    kind, name = place.split(":", 1)
    return name if SERVER == "artemis" else f"/{kind}/{name}"


def routing(place):
    return "ANYCAST" if place.startswith("queue:") else "MULTICAST"


def put(place, messages):
    """In their order; each is confirmed."""
    connection, heard = connect()
    waiting = []
    for number, (body, headers) in enumerate(messages):
        headers = {"persistent": "true", **headers}
        if SERVER == "artemis":
            headers["destination-type"] = routing(place)
        connection.send(destination(place), body, receipt=f"r{number}", **headers)
        waiting.append(f"r{number}")
        if len(waiting) == AT_ONCE:
            heard.wait_for(waiting.pop(0))
    for receipt in waiting:
        heard.wait_for(receipt)
    close(connection, heard)


def ids(id):
    """By what each server knows a message; ActiveMQ Classic makes one itself."""
    return {"artemis": {"_AMQ_DUPL_ID": id}, "rabbitmq": {"amqp-message-id": id}, "activemq": {}}[SERVER]


def number(n):
    body = json.dumps({"n": n}).encode()
    # RabbitMQ keeps seconds.
    time = 1_700_000_000 + n
    return body, {
        **ids(f"number-{n}"),
        "content-type": "application/json",
        "content-length": len(body),
        "correlation-id": f"c{n}",
        "type": "new",
        "priority": "5",
        "timestamp": str(time if SERVER == "rabbitmq" else time * 1000),
        "JMSXGroupID": "g",
        "text": f"number: {n}\n",
        "count": str(n),
    }


def row(n):
    body = json.dumps({"k": n % 10, "n": n}).encode()
    return body, {**ids(f"row-{n}"), "content-length": len(body)}


def take(place, client=None, name=None):
    """Takes all, until nothing comes any more."""
    connection, heard = connect(client)
    headers = {"activemq.prefetchSize": AHEAD, "prefetch-count": AHEAD, "receipt": "taking"}
    if SERVER == "artemis":
        headers = {"subscription-type": routing(place), "consumer-window-size": "1000000", "receipt": "taking"}
    if name:
        headers |= {
            "artemis": {"durable-subscription-name": name},
            "activemq": {"activemq.subscriptionName": name},
            "rabbitmq": {"durable": "true", "auto-delete": "false"},
        }[SERVER]
    kept = name if name and SERVER == "rabbitmq" else "0"
    connection.subscribe(destination(place), id=kept, ack="client-individual", headers=headers)
    heard.wait_for("taking")
    while COMMAND != "subscribe":
        try:
            frame = heard.messages.get(timeout=QUIET_S)
        except queue.Empty:
            break
        body = frame.body if isinstance(frame.body, bytes) else frame.body.encode()
        print(json.dumps({"body": body.decode(), "headers": frame.headers}))
        connection.ack(frame.headers["ack"])
    close(connection, heard)


match COMMAND, ARGUMENTS:
    case "check", []:
        close(*connect())
    case "put", [place, count]:
        put(place, (number(n) for n in range(int(count))))
    case "put-raw", [place, digits]:
        body = bytes.fromhex(digits)
        put(place, [(body, {"content-length": len(body)})])
    case "put-json", [place, begin, end]:
        put(place, (row(n) for n in range(int(begin), int(end))))
    case "put-long", [place, count]:
        put(place, [(b"x" * int(count), {**ids("long"), "content-length": count})])
    case "put-texts", [place]:
        put(place, [(text.encode(), {"amq-msg-type": "text"}) for text in ('{"n":1}', "two\nlines", "ä")])
    case ("drain", [place]):
        take(place)
    case ("subscribe" | "read"), [place, client, name]:
        take(place, client, name)
    case other:
        sys.exit(f"there is no command {other}")
