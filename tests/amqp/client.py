"""What the tests of the AMQP connector ask of a server, by a client that is none of ours: Qpid Proton.

    client.py PORT USER PASSWORD COMMAND ...

An ADDRESS is queue:NAME or topic:NAME.

    check                       whether the server lets in
    put ADDRESS COUNT           messages {"n": 0} … with ids, properties and application properties
    put-raw ADDRESS HEX         one message without an id, its bytes in hexadecimal digits
    put-json ADDRESS FROM TO    messages {"k": …, "n": FROM} …, with ids, as the conformance suite has them
    put-long ADDRESS BYTES      one message with a body of so many bytes
    put-kinds ADDRESS           messages whose bodies are a text, a map and a list
    drain ADDRESS               takes all messages: a line of JSON for each
    subscribe ADDRESS CLIENT NAME   makes a durable subscription
    read ADDRESS CLIENT NAME    takes what a durable subscription has

And of Artemis:

    make ADDRESS                makes a queue or the address of a topic
    delete NAME                 deletes a queue, whoever reads it
    count NAME                  how many messages a queue has, delivered ones too
"""

import json
import sys

from proton import Data, Delivery, Message, symbol
from proton import Timeout as ProtonTimeout
from proton.reactor import Container, DurableSubscription, LinkOption
from proton.utils import BlockingConnection

LIMIT_S = 60
# So long nothing comes of what is read to its end.
QUIET_S = 0.5
CREDIT = 500
PORT, USER, PASSWORD, COMMAND, *ARGUMENTS = sys.argv[1:]


class Capability(LinkOption):
    """Says whether an address is a queue or a topic."""

    def __init__(self, kind):
        self.kind = kind

    def apply(self, link):
        end = link.source if link.is_receiver else link.target
        end.capabilities.put_array(False, Data.SYMBOL)
        end.capabilities.enter()
        end.capabilities.put_symbol(symbol(self.kind))
        end.capabilities.exit()


def connect(client=None):
    container = Container()
    if client:
        container.container_id = client
    return BlockingConnection(
        f"amqp://127.0.0.1:{PORT}", timeout=LIMIT_S, container=container, user=USER, password=PASSWORD,
        allowed_mechs="PLAIN",
    )


def full(connection, kind, name):
    """With what the server wants in front of it: ActiveMQ Classic tells queues and topics apart by that."""
    properties = connection.conn.remote_properties or {}
    return properties.get(symbol(f"{kind}-prefix"), "") + name


def manage(operation, *arguments):
    """What Artemis lets one do over AMQP."""
    connection = connect()
    answers = connection.create_receiver(None, dynamic=True)
    request = Message(
        body=json.dumps(arguments),
        properties={"_AMQ_ResourceName": "broker", "_AMQ_OperationName": operation},
        reply_to=answers.link.remote_source.address,
    )
    connection.create_sender("activemq.management").send(request)
    answer = answers.receive(timeout=LIMIT_S)
    connection.close()
    if answer.properties.get("_AMQ_OperationSucceeded") is not True:
        sys.exit(f"{operation}: {answer.body}")
    return json.loads(answer.body)[0] if answer.body else None


def put(address, messages):
    """In their order; each is accepted."""
    kind, name = address.split(":", 1)
    connection = connect()
    sender = connection.create_sender(full(connection, kind, name), options=[Capability(kind)])
    link, waiting = sender.link, []
    for message in messages:
        connection.wait(lambda: link.credit > 0, msg="credit")
        waiting.append(link.send(message))
    connection.wait(lambda: all(delivery.settled for delivery in waiting), msg="all are settled")
    refused = [delivery for delivery in waiting if delivery.remote_state != Delivery.ACCEPTED]
    if refused:
        sys.exit(f"{len(refused)} messages were not accepted")
    connection.close()


def number(n):
    message = Message(body=json.dumps({"n": n}).encode(), inferred=True, durable=True, priority=5)
    message.id = f"number-{n}"
    message.subject = "new"
    message.correlation_id = f"c{n}"
    message.content_type = symbol("application/json")
    message.creation_time = 1_700_000_000.0 + n
    message.group_id = "g"
    message.group_sequence = n
    message.properties = {"text": f"number {n}", "count": n, "yes": True}
    return message


def row(n):
    message = Message(body=json.dumps({"k": n % 10, "n": n}).encode(), inferred=True, durable=True)
    message.id = f"row-{n}"
    return message


def shown(message):
    body = message.body
    if isinstance(body, memoryview):
        body = bytes(body)
    if isinstance(body, bytes):
        body = body.decode()
    plain = lambda value: value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
    print(json.dumps({
        "body": body,
        "id": plain(message.id),
        "subject": message.subject,
        "correlation_id": plain(message.correlation_id),
        "content_type": message.content_type,
        "group_id": message.group_id,
        "group_sequence": message.group_sequence,
        "priority": message.priority,
        "durable": message.durable,
        "ttl": message.ttl,
        "properties": {key: plain(value) for key, value in (message.properties or {}).items()},
        "annotations": {str(key): plain(value) for key, value in (message.annotations or {}).items()},
    }))


def take(connection, address, name=None):
    """Takes all, until nothing comes any more."""
    kind, node = address.split(":", 1)
    options = [Capability(kind)] + ([DurableSubscription()] if name else [])
    node = full(connection, kind, node)
    receiver = connection.create_receiver(node, credit=CREDIT, name=name, options=options)
    while True:
        try:
            message = receiver.receive(timeout=QUIET_S)
        except ProtonTimeout:
            break
        shown(message)
        receiver.accept()
        if receiver.link.credit < CREDIT // 2:
            receiver.flow(CREDIT // 2)
    # Closed, a subscription would be gone.
    receiver.detach()
    connection.close()


match COMMAND, ARGUMENTS:
    case "check", []:
        connect().close()
    case "put", [address, count]:
        put(address, (number(n) for n in range(int(count))))
    case "put-raw", [address, digits]:
        put(address, [Message(body=bytes.fromhex(digits), inferred=True, durable=True)])
    case "put-json", [address, begin, end]:
        put(address, (row(n) for n in range(int(begin), int(end))))
    case "put-long", [address, count]:
        put(address, [Message(body=b"x" * int(count), inferred=True, durable=True, id="long")])
    case "put-kinds", [address]:
        put(address, [Message(body=body, durable=True) for body in ('{"n":1}', {"n": 2}, ["a", 3])])
    case "drain", [address]:
        take(connect(), address)
    case "subscribe", [address, client, name]:
        connection = connect(client)
        kind, node = address.split(":", 1)
        options = [Capability(kind), DurableSubscription()]
        connection.create_receiver(full(connection, kind, node), name=name, options=options).detach()
        connection.close()
    case "read", [address, client, name]:
        take(connect(client), address, name)
    case "make", [address]:
        kind, name = address.split(":", 1)
        if kind == "queue":
            queue = {"name": name, "address": name, "routing-type": "ANYCAST", "auto-create-address": True}
            manage("createQueue", json.dumps(queue))
        else:
            manage("createAddress", name, "MULTICAST")
    case "delete", [name]:
        manage("destroyQueue", name, True)
    case "count", [name]:
        found = json.loads(manage("listQueues", json.dumps({"field": "name", "operation": "EQUALS", "value": name}), 1, 1))
        print(found["data"][0]["messageCount"])
    case other:
        sys.exit(f"there is no command {other}")
