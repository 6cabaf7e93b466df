"""What the tests of the RabbitMQ connector ask of a server, by a client that is none of ours: pika.

    client.py PORT USER PASSWORD COMMAND ...

    make NAME TYPE              a durable queue: classic, quorum or stream
    delete NAME
    put NAME COUNT              messages {"n": 0} … with ids, properties and headers
    put-raw NAME HEX            one message without an id, its bytes in hexadecimal digits
    put-json NAME FROM TO       messages {"k": …, "n": FROM} …, with ids, as the conformance suite has them
    bind QUEUE EXCHANGE KEY     makes a durable exchange of topics, and binds a quorum queue of its own to it
    publish EXCHANGE KEY ID BODY one message of JSON
    drain NAME                  takes all messages: a line of JSON for each
    stream NAME                 reads all messages of a stream
    waiting NAME                how many messages wait, delivered ones not counted
"""

import json
import sys
import time

import pika

# So long nothing comes of a stream that is read to its end.
QUIET_S = 0.5
LIMIT_S = 60
PORT, USER, PASSWORD, COMMAND, *ARGUMENTS = sys.argv[1:]


def parameters():
    return pika.ConnectionParameters("127.0.0.1", int(PORT), credentials=pika.PlainCredentials(USER, PASSWORD))


def connect():
    return pika.BlockingConnection(parameters())


def wait_for(name):
    """Queues and streams come up after their server; until then nothing is routed to them, and that is confirmed."""
    begun = time.monotonic()
    while True:
        connection = connect()
        try:
            connection.channel().queue_declare(name, passive=True)
            return
        except pika.exceptions.AMQPError:
            if time.monotonic() - begun > LIMIT_S:
                raise
            time.sleep(QUIET_S / 10)


def channel():
    opened = connect().channel()
    opened.confirm_delivery()
    return opened


def number(n):
    properties = pika.BasicProperties(
        message_id=f"number-{n}",
        delivery_mode=2,
        timestamp=1_700_000_000 + n,
        content_type="application/json",
        headers={"n": n, "text": f"number {n}", "yes": True, "list": [1, {"a": "b"}]},
    )
    return json.dumps({"n": n}).encode(), properties


def put_json(name, begin, end):
    """All of them are on their way at once, in their order, and all are confirmed."""
    wait_for(name)
    waiting = set(range(1, end - begin + 1))

    def publish(opened):
        for n in range(begin, end):
            body = json.dumps({"k": n % 10, "n": n}).encode()
            properties = pika.BasicProperties(message_id=f"{name}-{n}", delivery_mode=2)
            opened.basic_publish("", name, body, properties, mandatory=True)

    def returned(_, method, __, ___):
        sys.exit(f"a message was returned: {method.reply_text}")

    def confirmed(frame):
        tag = frame.method.delivery_tag
        if isinstance(frame.method, pika.spec.Basic.Nack):
            sys.exit(f"the message {tag} was not taken")
        waiting.difference_update([one for one in waiting if one <= tag] if frame.method.multiple else [tag])
        if not waiting:
            connection.close()

    def confirm(opened):
        opened.add_on_return_callback(returned)
        opened.confirm_delivery(confirmed, lambda _: publish(opened))

    connection = pika.SelectConnection(
        parameters(),
        on_open_callback=lambda opened: opened.channel(on_open_callback=confirm),
        on_open_error_callback=lambda _, error: sys.exit(f"not connected: {error!r}"),
        on_close_callback=lambda opened, _: opened.ioloop.stop(),
    )
    connection.ioloop.start()
    if waiting:
        sys.exit(f"{len(waiting)} messages were not confirmed")


def drain(name):
    wait_for(name)
    opened = channel()
    while True:
        method, properties, body = opened.basic_get(name)
        if method is None:
            break
        show(method, properties, body)
        opened.basic_ack(method.delivery_tag)


def stream(name):
    """All that is in it: the server says neither how much that is, nor that nothing follows."""
    wait_for(name)
    begun = time.monotonic()
    while True:
        try:
            return read_stream(name)
        except pika.exceptions.ChannelClosedByBroker as error:
            # The answer to a reader who comes before the stream's replica: nothing has been read.
            if "replica" not in error.reply_text or time.monotonic() - begun > LIMIT_S:
                raise
            time.sleep(QUIET_S / 10)


def read_stream(name):
    opened = connect().channel()
    opened.basic_qos(prefetch_count=500)
    arguments = {"x-stream-offset": "first"}
    for method, properties, body in opened.consume(name, arguments=arguments, inactivity_timeout=QUIET_S):
        if method is None:
            break
        show(method, properties, body)
        opened.basic_ack(method.delivery_tag)


def show(method, properties, body):
    print(json.dumps({
        "body": body.decode(),
        "id": properties.message_id,
        "routing_key": method.routing_key,
        "mode": properties.delivery_mode,
        "content_type": properties.content_type,
        "correlation_id": properties.correlation_id,
        "timestamp": properties.timestamp,
        "headers": properties.headers,
    }, default=str))


def put(name, count):
    opened = channel()
    for n in range(count):
        body, properties = number(n)
        opened.basic_publish("", name, body, properties)


def make(name, kind):
    channel().queue_declare(name, durable=True, arguments={"x-queue-type": kind})


def bind(name, exchange, key):
    make(name, "quorum")
    opened = channel()
    opened.exchange_declare(exchange, "topic", durable=True)
    opened.queue_bind(name, exchange, key)


def publish(exchange, key, message_id, body):
    properties = pika.BasicProperties(message_id=message_id, content_type="application/json", delivery_mode=2)
    channel().basic_publish(exchange, key, body.encode(), properties, mandatory=True)


match COMMAND:
    case "make":
        make(*ARGUMENTS)
    case "delete":
        channel().queue_delete(ARGUMENTS[0])
    case "put":
        put(ARGUMENTS[0], int(ARGUMENTS[1]))
    case "put-raw":
        wait_for(ARGUMENTS[0])
        channel().basic_publish("", ARGUMENTS[0], bytes.fromhex(ARGUMENTS[1]), pika.BasicProperties(delivery_mode=2))
    case "put-json":
        put_json(ARGUMENTS[0], int(ARGUMENTS[1]), int(ARGUMENTS[2]))
    case "bind":
        bind(*ARGUMENTS)
    case "publish":
        publish(*ARGUMENTS)
    case "drain":
        drain(ARGUMENTS[0])
    case "stream":
        stream(ARGUMENTS[0])
    case "waiting":
        print(channel().queue_declare(ARGUMENTS[0], passive=True).method.message_count)
    case other:
        sys.exit(f"there is no command {other}")
