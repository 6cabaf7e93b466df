"""moto as a server that checks signatures, and beside it what the suite asks for, which goes through boto3.

    python server.py PORT SECRET

What begins with /suite/ is for the suite; all else is AWS. moto is not made for calls that come together, so those that change
a queue or a stream go one at a time. It keeps nothing over a restart.
"""

import json
import sys
import threading
import time
from urllib.parse import parse_qs

import boto3
import waitress
from botocore.config import Config
from moto import settings
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs.models import SQSBackend

PORT = int(sys.argv[1])
REGION = "eu-central-1"
ACCOUNT = "123456789012"
USER = "conformance"
KEY_ID = "AKIACONFORMANCE00001"
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
BATCH = 10

lock = threading.RLock()


def one_at_a_time(owner, *names):
    for name in names:
        original = getattr(owner, name)

        def locked(*arguments, original=original, **named):
            with lock:
                return original(*arguments, **named)

        setattr(owner, name, locked)


def receive_waiting(original):
    """Receives with the lock, and waits without it."""

    def receive(self, queue_name, count, wait_seconds_timeout, *rest, **named):
        end = time.monotonic() + wait_seconds_timeout
        while True:
            with lock:
                messages = original(self, queue_name, count, 0, *rest, **named)
            if messages or time.monotonic() >= end:
                return messages
            time.sleep(0.02)

    return receive


SQSBackend.receive_message = receive_waiting(SQSBackend.receive_message)
one_at_a_time(
    SQSBackend, "send_message", "send_message_batch", "delete_message", "delete_message_batch", "change_message_visibility"
)


def make_user(secret):
    backend = iam_backends[ACCOUNT]["aws"]
    backend.create_user(REGION, USER)
    backend.put_user_policy(USER, "all", json.dumps(POLICY))
    key = backend.create_access_key(USER)
    backend.access_keys[KEY_ID] = key
    key.access_key_id = KEY_ID
    key.secret_access_key = secret
    return key


key = make_user(sys.argv[2])


class Suite:
    """What the suite does beside the gate."""

    def __init__(self):
        self.clients = {}

    def client(self, service):
        name = (service, key.secret_access_key)
        if name not in self.clients:
            self.clients[name] = boto3.client(
                service,
                region_name=REGION,
                endpoint_url=f"http://127.0.0.1:{PORT}",
                aws_access_key_id=KEY_ID,
                aws_secret_access_key=key.secret_access_key,
                config=Config(retries={"max_attempts": 1}),
            )
        return self.clients[name]

    def secret(self, arguments, body):
        key.secret_access_key = body.decode()

    def queue(self, arguments, body):
        name = arguments["name"]
        attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        return self.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def queue_url(self, name):
        return self.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]

    def send(self, arguments, body):
        """Numbers, or with a body that."""
        name = arguments["name"]
        url = self.queue_url(name)
        numbers = range(int(arguments.get("from", 0)), int(arguments.get("to", 1)))
        entries = []
        for n in numbers:
            text = body.decode() if body else json.dumps({"k": n % 10, "n": n})
            entry = {"Id": str(n), "MessageBody": text}
            if name.endswith(".fifo"):
                group, once = (str(n % 10), str(n)) if not body else ("0", "poison")
                entry |= {"MessageGroupId": group, "MessageDeduplicationId": once}
            entries.append(entry)
        for first in range(0, len(entries), BATCH):
            sent = self.client("sqs").send_message_batch(QueueUrl=url, Entries=entries[first : first + BATCH])
            assert not sent.get("Failed"), sent

    def drain(self, arguments, body):
        url = self.queue_url(arguments["name"])
        bodies = []
        while True:
            received = self.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH)
            messages = received.get("Messages", [])
            if not messages:
                return "\n".join(bodies)
            bodies += [message["Body"] for message in messages]
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages)
            ]
            self.client("sqs").delete_message_batch(QueueUrl=url, Entries=entries)


suite = Suite()
moto = DomainDispatcherApplication(create_backend_app)


def application(environ, start_response):
    environ["RAW_URI"] = environ.get("REQUEST_URI", environ["PATH_INFO"])
    path = environ["PATH_INFO"]
    if not path.startswith("/suite/"):
        return moto(environ, start_response)
    arguments = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    try:
        answer = getattr(suite, path.removeprefix("/suite/"))(arguments, body) or ""
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [answer.encode()]
    except Exception as error:
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [f"{type(error).__name__}: {error}".encode()]


settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
server = waitress.create_server(application, host="127.0.0.1", port=PORT, threads=32)
print("ready", flush=True)
server.run()
